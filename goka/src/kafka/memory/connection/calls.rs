//! What a worker asks of its connection: [`Kafka`] in memory.
//!
//! Must not hold a borrow of the world while it calls back.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use super::{AFTER_DEATH, Connection, Point, Writer};
use crate::{
    Error,
    kafka::{
        CommitError, Committed, Event, Kafka, OURS, Outgoing, Position, Reader, Report, SendError,
        Step,
        memory::{
            coordinator::Positions,
            group::Group,
            log::Written,
            state::{CommitEntry, State},
        },
    },
};

impl Kafka for Connection {
    fn now(&self) -> Duration {
        // What a dead process waits for on its way out is over at once.
        let over = if self.dead.get() {
            AFTER_DEATH
        } else {
            Duration::ZERO
        };
        self.state.borrow().now + over
    }

    fn wall_ms(&self) -> i64 {
        self.state.borrow().wall_ms()
    }

    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool {
        if self.pass(Point::Asks).is_err() {
            return false;
        }
        let deadline = self.state.borrow_mut().begin_wait(wait);
        loop {
            let found = self.next(&mut self.state.borrow_mut());
            if let Some(found) = found {
                self.give(found, on);
                return true;
            }
            if !self.state.borrow_mut().go_on_waiting(deadline) {
                return false;
            }
        }
    }

    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} assigns partition {partition} at {offsets:?}", self.name));
        self.fetching.borrow_mut().assign(partition, offsets);
        Ok(())
    }

    fn unassign(&self, partition: i32) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} unassigns partition {partition}", self.name));
        let State { topics, chance, .. } = &mut *state;
        let mut fetching = self.fetching.borrow_mut();
        fetching.unassign(partition, &self.sources, topics, chance);
        Ok(())
    }

    fn released(&self, partitions: &[i32]) -> Result<(), Error> {
        if self.dead.get() {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} has given back {partitions:?}", self.name));
        let now = state.now;
        if let Some(group) = state.groups.get_mut(&self.group) {
            let mut membership = self.membership.borrow_mut();
            membership.released(group, partitions, now);
        }
        Ok(())
    }

    fn commit(&self, positions: &[Position], metadata: &str) -> Result<(), CommitError> {
        self.answer("commit offsets").map_err(CommitError::Again)?;
        let membership = self.membership.borrow();
        let mut state = self.state.borrow_mut();
        let refused = state.refuse_commit(&self.group, membership.member);
        if let Some(refusal) = refused {
            state.note(|| format!("{} may not commit: {refusal:?}", self.name));
            return Err(refusal);
        }
        let entries = self.entries(positions, metadata);
        let group = state.groups.get(&self.group);
        let member = membership.member.unwrap_or(0);
        let owned: Vec<bool> = positions
            .iter()
            .map(|position| group.is_some_and(|group| group.owns(member, position.partition)))
            .collect();
        for (entry, owned) in entries.map_err(CommitError::Again)?.into_iter().zip(owned) {
            state.commit(&self.group, CommitEntry { owned, ..entry });
        }
        // Taken, but the answer is lost.
        if state.chance.one_in(50) {
            state.mishaps.refused_commits += 1;
            return Err(CommitError::Again(Error::kafka(
                "commit offsets",
                "the answer of the brokers did not arrive",
            )));
        }
        Ok(())
    }

    fn committed(&self, partition: i32) -> Result<Vec<Option<Committed>>, Error> {
        self.answer("ask for committed offsets")?;
        let state = self.state.borrow();
        let group = state.groups.get(&self.group);
        let is_unstable =
            |topic: &Rc<str>| state.coordinator.is_unstable(&self.group, topic, partition);
        if self.transacting().is_some() && self.sources.iter().any(is_unstable) {
            let why = "a transaction that holds them is not decided";
            return Err(Error::kafka("ask for committed offsets", why));
        }
        let committed = |topic: &Rc<str>| group?.committed(topic, partition).cloned();
        Ok(self.sources.iter().map(committed).collect())
    }

    fn bounds(&self, source: usize, partition: i32) -> Result<(i64, i64), Error> {
        self.answer("ask for the bounds of a partition")?;
        let state = self.state.borrow();
        let log = state.topics.log(self.source(source)?, partition)?;
        Ok(log.bounds())
    }

    fn partitions(&self, target: usize) -> i32 {
        let topic = self.target(target);
        topic.map_or(0, |topic| self.state.borrow().topics.partitions(topic))
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        self.pass(Point::Sends).map_err(SendError::Refused)?;
        let topic = self.target(record.target).map_err(SendError::Refused)?;
        let mut state = self.state.borrow_mut();
        state.accept(self.writer.producer(), topic, record)?;
        let written = Written {
            offset: 0,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.clone(),
            by: Rc::clone(&self.name),
            moment: 0,
        };
        let place = (Rc::clone(topic), record.partition);
        match &self.writer {
            Writer::Plain(producer) => state.send((*producer, None), place, written, record.tag),
            Writer::Transacting(transacting) => {
                transacting.send(&mut state, place, written, record.tag);
            }
        }
        Ok(())
    }

    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report)) {
        if self.pass(Point::Asks).is_err() {
            // Everything has failed, so that nobody waits for it.
            let reports = self.writer.take_reports(&mut self.state.borrow_mut());
            reports.into_iter().for_each(on);
            return;
        }
        let deadline = self.state.borrow_mut().begin_wait(wait);
        loop {
            let reports = self.writer.take_reports(&mut self.state.borrow_mut());
            let waits = reports.is_empty();
            reports.into_iter().for_each(&mut *on);
            let mut state = self.state.borrow_mut();
            self.be_heard(&mut state);
            if !waits || !state.go_on_waiting(deadline) {
                return;
            }
        }
    }

    fn in_flight(&self) -> usize {
        let state = self.state.borrow();
        match &self.writer {
            Writer::Plain(producer) => {
                let producer = state.producers.get(producer);
                producer.map_or(0, |producer| producer.in_flight())
            }
            Writer::Transacting(transacting) => transacting.in_flight(&state),
        }
    }

    fn purge(&self) {
        let mut state = self.state.borrow_mut();
        state.note(|| format!("{} purges its producer", self.name));
        state.purge(self.writer.producer(), false);
    }

    fn end_transaction(&self) {
        if let Some(transacting) = self.transacting() {
            transacting.end();
        }
    }

    fn commit_transaction(&self, positions: &[Position], metadata: &str) {
        let Some(transacting) = self.transacting() else {
            return;
        };
        // The worker may stand still here, and then goes on with what it knew before.
        let member = self.membership.borrow().member;
        let generation = {
            let state = self.state.borrow();
            state.groups.get(&self.group).map_or(0, Group::generation)
        };
        let entries = self.entries(positions, metadata);
        if self.pass(Point::Asks).is_err() {
            return;
        }
        let (Some(member), Ok(entries)) = (member, entries) else {
            let why = "this worker is no member of its group any more";
            return transacting.refuse(Error::kafka("commit a transaction", why));
        };
        let positions = Positions {
            group: self.group.clone(),
            member,
            generation,
            entries,
        };
        transacting.commit(&mut self.state.borrow_mut(), positions);
    }

    fn abort_transaction(&self) {
        if let (Some(transacting), false) = (self.transacting(), self.dead.get()) {
            transacting.abort(&mut self.state.borrow_mut());
        }
    }

    fn transaction(&self) -> Option<Result<(), Error>> {
        if self.dead.get() {
            return Some(Err(Error::Closed("this connection")));
        }
        self.transacting()?.outcome(&mut self.state.borrow_mut())
    }

    fn is_full(&self) -> bool {
        self.in_flight() > 200
    }

    fn table_end(&self, partition: i32) -> Result<i64, Error> {
        self.answer("ask for the end of a partition")?;
        let state = self.state.borrow();
        let log = self
            .table
            .as_ref()
            .map(|table| state.topics.log(table.topic(), partition))
            .transpose()?;
        Ok(log.map_or(0, |log| log.end()))
    }

    fn fence(&self, partition: i32) {
        let Some(transacting) = self.transacting() else {
            return;
        };
        let state = &mut *self.state.borrow_mut();
        let group = state.groups.get(&self.group);
        let committed = self.sources.iter();
        let committed = committed.filter_map(|topic| group?.committed(topic, partition));
        let owners = committed.filter_map(|c| c.metadata.strip_prefix(OURS));
        let owners: BTreeSet<String> = owners.map(str::to_owned).collect();
        for owner in owners.iter().filter(|owner| **owner != *transacting.id) {
            state.note(|| format!("{} fences `{owner}`", self.name));
            transacting.fence(state, owner);
        }
    }

    fn table(&self) -> Option<&dyn Reader> {
        let table = self.table.as_ref();
        table.map(|table| table as &dyn Reader)
    }

    fn reached(&self, step: Step) -> Result<(), Error> {
        self.pass(Point::Reached(step))
    }

    fn close(&self) {
        if self.dead.get() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            state.note(|| format!("{} closes", self.name));
            let (member, now) = (self.membership.borrow().member, state.now);
            let group = state.groups.get_mut(&self.group);
            if let (Some(id), Some(group)) = (member, group) {
                group.leave(id, now);
            }
        }
        self.die();
    }
}
