//! The state of a worker, and the path of one record through the engine: make room in the open interval, call the
//! handler, apply its effects.
//!
//! The modules `handling`, `commit` and `recovery` do not know each other: this file passes values between them. Must
//! not know how these modules do their work.

use std::time::Duration;

use crate::{
    base::{
        index::SourceIx,
        record::{Headers, Record},
    },
    engine::{
        commit::Commit,
        env::Surroundings,
        halt::{Halt, Scope, Setback, Why},
        handling::{Call, Callee, Handling, Next, Oldest},
        partition::{
            Partition, Partitions, Trouble,
            origin::{By, Origin},
        },
        port::{Kafka, Keys},
        recovery::Recovery,
        spec::Spec,
    },
};

/// The greatest number of rows of a partition that are visited in one turn. The limit keeps visits from starving
/// records.
const KEYS_PER_TURN: usize = 64;

/// Everything that a worker holds except its connection. The connection is held apart because events borrow from it.
pub(super) struct Core {
    pub(super) surroundings: Surroundings,
    // Dropped before `recovery`, because `recovery` holds the loans of local copies that the partitions borrowed from
    // a standby.
    pub(super) partitions: Partitions,
    pub(super) handling: Handling,
    pub(super) commit: Commit,
    pub(super) recovery: Recovery,
}

impl Core {
    pub(super) fn new(spec: Spec, kafka: &dyn Kafka) -> Self {
        let now = kafka.now();
        let (commit, rules) = Commit::new(&spec.settings, now);
        Core {
            surroundings: Surroundings::new(spec, now),
            partitions: Partitions::default(),
            handling: Handling::new(rules, kafka.record_max()),
            commit,
            recovery: Recovery::new(rules),
        }
    }

    /// Prefetches the rows of a partition at `keys`, the keys of the records that come next.
    pub(super) fn look_ahead(&self, number: i32, keys: &mut Keys<'_>) {
        if let Some(partition) = self.partitions.get(number) {
            partition.rows().look_ahead(keys);
        }
    }

    /// Handles a fetched record. If work of its partition has to be done first, queues the record behind this work.
    pub(super) fn take(
        &mut self,
        kafka: &dyn Kafka,
        source: SourceIx,
        record: &Record<'_>,
    ) -> Result<(), Halt> {
        let env = self.surroundings.env(kafka);
        let number = record.partition;
        let Some(partition) = self.partitions.get_mut(number) else {
            return Ok(());
        };
        if !partition.fetched(source, record.offset) {
            return Ok(());
        }
        if partition.queue().must_wait() {
            return Ok(self
                .handling
                .keep(&env, number, partition, (source, record))?);
        }
        let call = Call::of(&env, source, record);
        self.call(kafka, call)?;
        let is_waiting = |partition: &Partition| partition.queue().is_waiting();
        if self.partitions.get(number).is_some_and(is_waiting) {
            self.advance(kafka, number)?;
        }
        Ok(())
    }

    /// Calls a handler or a visitor, and applies its effects. An async handler or visitor is only started.
    fn call(&mut self, kafka: &dyn Kafka, call: Call<'_>) -> Result<(), Halt> {
        let number = call.origin.partition;
        self.make_room(kafka, number)?;
        let env = self.surroundings.env(kafka);
        let Some(partition) = self.partitions.get_mut(number) else {
            return Ok(());
        };
        let began = env.now();
        let Some(outcome) = self.handling.run(&env, partition, &call) else {
            return Ok(());
        };
        // `began` is the time of the last tick. For most records, the clock still shows this time, and the check is
        // skipped.
        if kafka.now() != began {
            self.still_ours(kafka, call.origin, began)?;
        }
        let env = self.surroundings.env(kafka);
        self.handling.conclude(
            &env,
            &mut self.partitions,
            (call.origin, &call.record),
            outcome,
        )
    }

    /// Checks, before the effects of a handler are applied, that the handler did not keep the thread for too long: a
    /// transaction has a time limit, and membership has to be proven again after the membership lease.
    fn still_ours(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        began: Duration,
    ) -> Result<(), Halt> {
        let env = self.surroundings.env(kafka);
        let took = kafka.now().saturating_sub(began);
        if let Some(reason) = self.handling.too_long(&env, origin, took) {
            let (scope, why) = (Scope::Partition(origin.partition), Why::Slow(reason));
            return Err(Setback { scope, why }.into());
        }
        self.make_room(kafka, origin.partition)
    }

    /// Blocks until a record of a partition may be handled, or its effects be applied: until membership is proven,
    /// delivery reports are taken, due commits are made, and the open interval has room. After an error, the work of
    /// this partition is void, including the record.
    fn make_room(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        loop {
            let env = self.surroundings.env(kafka);
            // Read the clock again after each wait: the process may have been paused at any point.
            env.tick();
            if !self.commit.prove(&env, &mut self.partitions)? {
                continue;
            }
            if self.commit.is_look_due(&env) {
                self.commit.look(&env, &mut self.partitions)?;
                self.commit_due(kafka, Some(number))?;
                let env = self.surroundings.env(kafka);
                self.commit.looked(&env);
            }
            let env = self.surroundings.env(kafka);
            if self.commit.has_room(&env, &mut self.partitions, number)? {
                return Ok(());
            }
        }
    }

    /// Makes due commits. `of` is the partition of the record that is being handled, if there is one. A setback that
    /// does not reach this partition is applied here, so that the record is not dropped; any other setback is returned
    /// if `of` is given.
    pub(super) fn commit_due(&mut self, kafka: &dyn Kafka, of: Option<i32>) -> Result<(), Halt> {
        loop {
            let env = self.surroundings.env(kafka);
            match self.commit.due(&env, &mut self.partitions) {
                Ok(()) => return Ok(()),
                Err(Halt::Setback(setback))
                    if !of.is_some_and(|of| {
                        self.commit.reaches(&self.partitions, setback.scope, of)
                    }) =>
                {
                    self.set_back(kafka, *setback)?;
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Advances all waiting work: async handlers, retries, deferred records. Returns whether an async handler or a
    /// deferred record still waits.
    pub(super) fn advance_waiting(&mut self, kafka: &dyn Kafka) -> Result<bool, Halt> {
        let mut waits = false;
        for number in self.handling.waiting(&self.partitions) {
            let advanced = self.advance_one(kafka, number);
            waits |= self.unless_set_back(kafka, advanced)?.unwrap_or(false);
        }
        Ok(waits)
    }

    fn advance_one(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        let is_deferred = self.release_deferred(kafka, number)?;
        Ok(self.advance(kafka, number)? || is_deferred)
    }

    /// Polls the async handler of a partition, if there is one. Once no handler waits, handles the record to retry and
    /// the backlog of later records. Returns whether the partition waits for an async handler or for deferred records.
    fn advance(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        loop {
            let env = self.surroundings.env(kafka);
            let Some(partition) = self.partitions.get_mut(number) else {
                return Ok(false);
            };
            match self.handling.next(&env, partition) {
                Next::Waits => return Ok(true),
                Next::Later => return Ok(false),
                Next::Through => {
                    self.handling.release_if_held(&env, number, partition)?;
                    return Ok(false);
                }
                Next::Record(source, record) => {
                    let call = Call::of(&env, source, &record.as_record());
                    self.call(kafka, call)?;
                }
                Next::Again(source, trouble) => {
                    let callee = Callee::Handler(env.edges.of_source(source));
                    self.call_again(kafka, &trouble, callee)?;
                }
                Next::VisitAgain(visit, trouble) => {
                    self.call_again(kafka, &trouble, Callee::Visitor(&*visit))?;
                }
                Next::Returned(returned) => {
                    let by = returned.origin.by;
                    // The handler may have waited for longer than the membership lease.
                    self.make_room(kafka, number)?;
                    let env = self.surroundings.env(kafka);
                    self.handling
                        .conclude_returned(&env, &mut self.partitions, returned)?;
                    if matches!(by, By::Source(_)) {
                        // Visits alternate with records, because the backlog of records may never become empty.
                        self.visit_some(kafka, number, 1)?;
                    }
                }
            }
        }
    }

    fn call_again(
        &mut self,
        kafka: &dyn Kafka,
        trouble: &Trouble,
        callee: Callee<'_>,
    ) -> Result<(), Halt> {
        let (origin, record) = (trouble.origin, trouble.record.as_record());
        let call = Call {
            origin,
            record,
            callee,
        };
        self.call(kafka, call)
    }

    /// Releases the deferred records of a partition, oldest first, up to the first record whose guards are not done.
    /// Returns whether deferred records are left.
    fn release_deferred(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        loop {
            let env = self.surroundings.env(kafka);
            let Some(partition) = self.partitions.get_mut(number) else {
                return Ok(false);
            };
            match self.handling.oldest(&env, number, partition) {
                Oldest::None => return Ok(false),
                Oldest::Waits => return Ok(true),
                Oldest::Ready => {}
            }
            // The record may have been deferred for longer than the membership lease.
            self.make_room(kafka, number)?;
            let env = self.surroundings.env(kafka);
            self.handling.release(&env, &mut self.partitions, number)?;
        }
    }

    /// Ends the waiting work of a partition that is about to be given back: releases deferred records whose guards are
    /// done, and drops the other work that has begun. The dropped records run again at the next owner.
    pub(super) fn end_waiting(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let released = self.release_deferred(kafka, number);
        if let Some(partition) = self.partitions.get_mut(number) {
            partition.drop_begun();
        }
        released.map(drop)
    }

    /// Advances the visit that is under way, or begins the next one. Returns whether there may be more rows to visit
    /// now.
    pub(super) fn visit(&mut self, kafka: &dyn Kafka) -> Result<bool, Halt> {
        let env = self.surroundings.env(kafka);
        let numbers = self.handling.begin_visit(&env, &self.partitions);
        let mut more = false;
        for number in numbers {
            let visited = self.visit_some(kafka, number, KEYS_PER_TURN);
            more |= self.unless_set_back(kafka, visited)?.unwrap_or(false);
        }
        self.handling.end_visit_if_done();
        self.commit.set_visiting(self.handling.is_visiting());
        Ok(more)
    }

    /// Visits at most `max` rows of a partition. Returns whether there may be more rows to visit now.
    fn visit_some(&mut self, kafka: &dyn Kafka, number: i32, max: usize) -> Result<bool, Halt> {
        for _ in 0..max {
            let env = self.surroundings.env(kafka);
            let Some(row) = self.handling.next_row(&env, &mut self.partitions, number)? else {
                return Ok(false);
            };
            let record = Record {
                partition: number,
                offset: row.origin.offset,
                timestamp: row.origin.timestamp,
                key: Some(&row.key),
                value: None,
                headers: Headers::default(),
            };
            let (origin, callee) = (row.origin, Callee::Visitor(&*row.visit));
            self.call(
                kafka,
                Call {
                    origin,
                    record,
                    callee,
                },
            )?;
        }
        Ok(true)
    }
}
