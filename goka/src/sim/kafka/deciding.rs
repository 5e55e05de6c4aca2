//! The life of transactions in a world: they begin, are decided, and end with their markers. Must not know what is
//! behind a connection.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use super::{
    coordinator::{Job, Landing, Marker, Transaction, Wish},
    log::Written,
    positions::Positions,
    producer::{Flight, Place},
    state::State,
};
use crate::base::{error::Error, record::OwnedHeaders};

impl State {
    /// Makes a new producer the owner of a transactional id, and aborts the open transaction of the id.
    pub(super) fn init_transactions(&mut self, id: &Rc<str>) -> u64 {
        let producer = self.new_producer();
        if let Some(made) = self.producers.get_mut(&producer) {
            made.transactional_id = Some(Rc::clone(id));
        }
        let entry = self.coordinator.ids.entry(Rc::clone(id)).or_default();
        (entry.producer, entry.finished) = (producer, 0);
        self.decide(id, false);
        self.note(|| format!("`{id}` is now producer {producer}"));
        producer
    }

    fn open_transaction(&mut self, id: &Rc<str>) -> Option<&mut Transaction> {
        let name = self.new_id();
        let times_out_at = self.now + self.settings.transaction_timeout;
        let entry = self.coordinator.ids.get_mut(id)?;
        Some(entry.open.get_or_insert_with(|| Transaction {
            name,
            times_out_at,
            places: BTreeSet::new(),
            positions: None,
            decided: None,
        }))
    }

    /// Handles a record of a transaction that reaches its partition.
    pub(super) fn land_in_transaction(
        &mut self,
        (producer, id): (u64, &Rc<str>),
        place: &Place,
        flight: &Flight,
    ) -> Landing {
        let (number, now) = (flight.transaction.unwrap_or(0), self.now);
        let Some(entry) = self.coordinator.ids.get(id) else {
            return Landing::Never("the transactional id is unknown");
        };
        if entry.producer != producer {
            return Landing::Never("the producer is fenced");
        }
        if number <= entry.finished {
            return Landing::Never("the transaction is over");
        }
        if let Some((_, markers)) = entry.open.as_ref().and_then(|open| open.decided.as_ref()) {
            let last = markers.iter().map(|(at, _)| *at).max().unwrap_or(now);
            return Landing::NotBefore(last.max(now) + Duration::from_micros(1));
        }
        let Some(transaction) = self.open_transaction(id) else {
            return Landing::Never("the transactional id is unknown");
        };
        transaction.places.insert(place.clone());
        let name = transaction.name;
        match self.append_to(&place.0, place.1, flight.record.clone(), Some(name)) {
            Ok(offset) => Landing::At(offset),
            Err(_) => Landing::Never("the partition does not exist"),
        }
    }

    /// Commits or aborts the open transaction of an id, unless the transaction is already decided.
    fn decide(&mut self, id: &Rc<str>, committed: bool) {
        let chance = &mut self.chance;
        let Some(entry) = self.coordinator.ids.get_mut(id) else {
            return;
        };
        let Some(open) = entry.open.as_mut().filter(|open| !open.is_decided()) else {
            return;
        };
        // Sometimes a broker is slow to write a marker, and readers and producers must wait for it.
        let mut at = || {
            let slowest_us = if chance.one_in(8) { 3_000_000 } else { 60_000 };
            self.now + Duration::from_micros(chance.below(slowest_us))
        };
        let mut markers: Vec<_> = open
            .places
            .iter()
            .map(|place| (at(), Marker::In(place.clone())))
            .collect();
        if open.positions.is_some() {
            markers.push((at(), Marker::InGroup));
        }
        open.decided = Some((committed, markers));
        self.note(|| format!("transaction of `{id}` is decided, committed: {committed}"));
        self.write_markers(id);
    }

    fn write_markers(&mut self, id: &Rc<str>) {
        let now = self.now;
        let Some(entry) = self.coordinator.ids.get_mut(id) else {
            return;
        };
        let Some(open) = entry.open.as_mut() else {
            return;
        };
        let Some((committed, markers)) = &mut open.decided else {
            return;
        };
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(markers)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        *markers = later;
        let (name, committed, is_over) = (open.name, *committed, markers.is_empty());
        let in_group = due.iter().any(|(_, m)| matches!(m, Marker::InGroup));
        let positions = open.positions.take_if(|_| in_group);
        if is_over {
            entry.open = None;
        }
        for (_, marker) in due {
            if let Marker::In((topic, partition)) = marker {
                let written = self.marker();
                if let Ok(log) = self.topics.log_mut(&topic, partition) {
                    log.end_transaction(name, committed, written);
                }
                self.note(|| format!("{topic}/{partition}: marker, committed: {committed}"));
            }
        }
        if let Some(positions) = positions.filter(|_| committed) {
            self.commit_all(&positions.group, positions.entries);
        }
    }

    fn marker(&mut self) -> Written {
        Written {
            offset: 0,
            timestamp: self.wall_ms(),
            key: None,
            value: None,
            headers: OwnedHeaders::new(),
            by: "marker".into(),
            moment: self.next_moment(),
        }
    }

    /// Handles all requests, timeouts and markers that are due.
    pub(super) fn coordinate(&mut self) {
        if self.is_broker_away() {
            return;
        }
        let now = self.now;
        let jobs = &mut self.coordinator.jobs;
        let due: Vec<Job> = jobs.extract_if(.., |job| job.at <= now).collect();
        for job in due {
            self.work(job);
        }
        let ids: Vec<Rc<str>> = self.coordinator.ids.keys().cloned().collect();
        for id in &ids {
            let open = self.coordinator.ids.get(id).and_then(|e| e.open.as_ref());
            let times_out = |open: &Transaction| !open.is_decided() && open.times_out_at <= now;
            if open.is_some_and(times_out) {
                self.note(|| format!("the transaction of `{id}` timed out"));
                self.init_transactions(id);
            }
            self.write_markers(id);
        }
    }

    fn work(&mut self, job: Job) {
        let (connection, id) = (job.connection, job.id.clone());
        let (is_over, owner) = match self.coordinator.ids.get(&id) {
            Some(entry) => (job.number <= entry.finished, entry.producer),
            None => (true, 0),
        };
        let is_broken = is_over || owner != job.producer;
        let answer = match job.wish {
            Wish::Fence => {
                self.init_transactions(&id);
                return;
            }
            Wish::Commit(_) if is_broken => Err((
                true,
                "this producer is fenced, or its transaction timed out",
            )),
            Wish::Commit(positions) => self.commit_transaction(&id, job.number, positions),
            Wish::Abort if is_broken || self.coordinator.in_doubt.remove(&connection) => {
                Ok(Some(self.init_transactions(&id)))
            }
            Wish::Abort => {
                self.decide(&id, false);
                self.finish(&id, job.number);
                Ok(None)
            }
        };
        let answer = answer.map_err(|(in_doubt, why)| {
            if in_doubt {
                self.coordinator.in_doubt.insert(connection);
                self.mishaps.in_doubt += 1;
            }
            Error::kafka("commit a transaction", why)
        });
        self.note(|| format!("`{id}` is answered: {answer:?}"));
        let open = self.coordinator.ids.get(&id).and_then(|e| e.open.as_ref());
        let markers = open.and_then(|open| open.decided.as_ref());
        let markers = markers.into_iter().flat_map(|(_, markers)| markers);
        let last_marker = markers.map(|(at, _)| *at).max().unwrap_or(self.now);
        let takes = self.delay();
        // The answer with a new producer comes after all markers of the old producer are written.
        let at = match answer {
            Ok(Some(_)) => last_marker + takes,
            _ => self.now + takes,
        };
        let answers = self.coordinator.answers.entry(connection).or_default();
        let at = answers.back().map_or(at, |(last, _)| at.max(*last));
        answers.push_back((at, answer));
    }

    fn finish(&mut self, id: &Rc<str>, number: u64) {
        if let Some(entry) = self.coordinator.ids.get_mut(id) {
            entry.finished = number;
        }
    }

    /// Commits a transaction. The `bool` in the error is `true` if the worker does not learn the outcome.
    fn commit_transaction(
        &mut self,
        id: &Rc<str>,
        number: u64,
        mut positions: Positions,
    ) -> Result<Option<u64>, (bool, &'static str)> {
        if self.chance.one_in(60) {
            return Err((true, "the coordinator did not answer"));
        }
        let member = Some(positions.member);
        let is_old = self.generation(&positions.group) != positions.generation;
        if is_old || self.refuse_commit(&positions.group, member).is_some() {
            return Err((false, "the group has a newer generation"));
        }
        self.mark_owned(&positions.group, positions.member, &mut positions.entries);
        let Some(open) = self.open_transaction(id) else {
            return Err((true, "the transactional id is unknown"));
        };
        open.positions = Some(positions);
        if self.chance.one_in(60) {
            return Err((true, "the offsets were added, but the answer was lost"));
        }
        self.decide(id, true);
        self.finish(id, number);
        if self.chance.one_in(60) {
            return Err((
                true,
                "the transaction is committed, but the answer was lost",
            ));
        }
        Ok(None)
    }
}
