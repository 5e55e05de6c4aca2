//! What a worker holds, and the way of one record through its rooms: room in the interval, the handler, its effects.
//!
//! Handling, commits and recovery do not know each other. What one needs of another is a value that is carried here.

use std::{cell::Cell, time::Duration};

use crate::{
    base::record::{Headers, Record},
    engine::{
        commit::Commit,
        edges::Edges,
        env::Env,
        halt::{Halt, Scope, Setback, Why},
        handling::{Call, Handling, Next, Oldest},
        partition::{
            Partition, Partitions,
            origin::{By, Origin},
        },
        port::{Kafka, Keys},
        recovery::Recovery,
        spec::Spec,
    },
};

/// Keys of a partition visited in one turn, so that records get their turn too.
const KEYS_PER_TURN: usize = 64;

/// Everything of a worker but the connection, which events are borrowed from.
pub(super) struct Core {
    pub(super) spec: Spec,
    edges: Edges,
    time: Cell<Duration>,
    // Before `recovery`, which has the loans of their local copies.
    partitions: Partitions,
    handling: Handling,
    commit: Commit,
    recovery: Recovery,
}

/// The rooms of a worker, each for itself.
pub(super) struct Rooms<'a> {
    pub(super) env: Env<'a>,
    pub(super) partitions: &'a mut Partitions,
    pub(super) handling: &'a mut Handling,
    pub(super) commit: &'a mut Commit,
    pub(super) recovery: &'a mut Recovery,
}

impl Core {
    pub(super) fn new(spec: Spec, kafka: &dyn Kafka) -> Self {
        let edges = Edges::new(&spec);
        let now = kafka.now();
        let (commit, rules) = Commit::new(&spec.settings, now);
        Core {
            spec,
            edges,
            time: Cell::new(now),
            partitions: Partitions::default(),
            handling: Handling::new(rules, kafka.record_max()),
            commit,
            recovery: Recovery::new(rules),
        }
    }

    pub(super) fn rooms<'a>(&'a mut self, kafka: &'a dyn Kafka) -> Rooms<'a> {
        Rooms {
            env: Env::new(kafka, &self.spec, &self.edges, &self.time),
            partitions: &mut self.partitions,
            handling: &mut self.handling,
            commit: &mut self.commit,
            recovery: &mut self.recovery,
        }
    }

    pub(super) fn recovery_mut(&mut self) -> &mut Recovery {
        &mut self.recovery
    }

    /// The partitions that are here.
    pub(super) fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// Whether the group was sent offsets and has not answered.
    #[cfg(any(test, feature = "tester"))]
    pub(super) fn is_committing(&self) -> bool {
        self.commit.is_committing()
    }

    /// Records of these keys are coming.
    pub(super) fn look_ahead(&self, number: i32, keys: &mut Keys<'_>) {
        if let Some(partition) = self.partitions.get(number) {
            partition.rows().look_ahead(keys);
        }
    }

    /// Handles a record that was fetched, or keeps it behind what waits.
    pub(super) fn take(&mut self, kafka: &dyn Kafka, record: &Record<'_>) -> Result<(), Halt> {
        let Rooms {
            env,
            partitions,
            handling,
            ..
        } = self.rooms(kafka);
        let number = record.partition;
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        if !partition.fetched(record.edge, record.offset) {
            return Ok(());
        }
        if partition.queue().must_wait() {
            return Ok(handling.keep(&env, number, partition, record)?);
        }
        let call = Call::of(&env, record);
        self.call(kafka, call)?;
        let is_waiting = |partition: &Partition| partition.queue().is_waiting();
        if self.partitions.get(number).is_some_and(is_waiting) {
            self.advance(kafka, number)?;
        }
        Ok(())
    }

    /// Calls a handler or a visitor. One that waits is only begun.
    fn call(&mut self, kafka: &dyn Kafka, call: Call<'_>) -> Result<(), Halt> {
        let number = call.origin.partition;
        self.make_room(kafka, number)?;
        let Rooms {
            env,
            partitions,
            handling,
            ..
        } = self.rooms(kafka);
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let began = env.now();
        let Some(outcome) = handling.run(&env, partition, &call) else {
            return Ok(());
        };
        // The clock ticks every few milliseconds.
        if kafka.now() != began {
            self.still_ours(kafka, call.origin, began)?;
        }
        let Rooms {
            env,
            partitions,
            handling,
            ..
        } = self.rooms(kafka);
        handling.conclude(&env, partitions, (call.origin, &call.record), outcome)
    }

    /// Before what a handler has done takes effect: it may have kept the thread for longer than its partition is surely
    /// ours, or than a transaction may be open.
    fn still_ours(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        began: Duration,
    ) -> Result<(), Halt> {
        let Rooms { env, handling, .. } = self.rooms(kafka);
        let took = kafka.now().saturating_sub(began);
        if let Some(reason) = handling.too_long(&env, origin, took) {
            let (scope, why) = (Scope::Partition(origin.partition), Why::Slow(reason));
            return Err(Setback { scope, why }.into());
        }
        self.make_room(kafka, origin.partition)
    }

    /// Before a record of a partition is handled, or takes effect: membership was proven lately, reports and due
    /// commits were looked at, and the open interval has room. An error reaches this partition: its record is void.
    fn make_room(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        loop {
            let Rooms {
                env,
                partitions,
                commit,
                ..
            } = self.rooms(kafka);
            // Also after whatever was waited for: a process that was stopped may go on anywhere.
            env.tick();
            if !commit.prove(&env, partitions)? {
                continue;
            }
            if commit.is_look_due(&env) {
                commit.look(&env, partitions)?;
                self.commit_due(kafka, Some(number))?;
                let Rooms { env, commit, .. } = self.rooms(kafka);
                commit.looked(&env);
            }
            let Rooms {
                env,
                partitions,
                commit,
                ..
            } = self.rooms(kafka);
            if commit.has_room(&env, partitions, number)? {
                return Ok(());
            }
        }
    }

    /// Commits what is due. A setback of other partitions is applied at once, so that the record at hand of partition
    /// `of` is not lost with their records.
    pub(super) fn commit_due(&mut self, kafka: &dyn Kafka, of: Option<i32>) -> Result<(), Halt> {
        loop {
            let Rooms {
                env,
                partitions,
                commit,
                ..
            } = self.rooms(kafka);
            match commit.due(&env, partitions) {
                Ok(()) => return Ok(()),
                Err(Halt::Setback(setback))
                    if !of.is_some_and(|of| commit.reaches(partitions, setback.scope, of)) =>
                {
                    self.set_back(kafka, setback)?;
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Lets every handler that waits go on, and what was deferred; whether some still waits.
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

    /// Lets the handler of a partition go on, then those of the records behind it; whether one waits.
    fn advance(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        loop {
            let Rooms {
                env,
                partitions,
                handling,
                ..
            } = self.rooms(kafka);
            let Some(partition) = partitions.get_mut(number) else {
                return Ok(false);
            };
            match handling.next(&env, partition) {
                Next::Waits => return Ok(true),
                Next::Later => return Ok(false),
                Next::Through => {
                    handling.release_if_held(&env, number, partition)?;
                    return Ok(false);
                }
                Next::Record(record) => {
                    let call = Call::of(&env, &record.as_record());
                    self.call(kafka, call)?;
                }
                Next::Again(trouble, visit) => {
                    let (origin, record) = (trouble.origin, trouble.record.as_record());
                    let visit = visit.as_deref();
                    self.call(
                        kafka,
                        Call {
                            origin,
                            record,
                            visit,
                        },
                    )?;
                }
                Next::Returned(returned) => {
                    let by = returned.origin.by;
                    // It may have waited for longer than the partition is surely ours.
                    self.make_room(kafka, number)?;
                    let Rooms {
                        env,
                        partitions,
                        handling,
                        ..
                    } = self.rooms(kafka);
                    handling.conclude_returned(&env, partitions, returned)?;
                    if matches!(by, By::Source(_)) {
                        // In turn with the records, which may never end.
                        self.visit_some(kafka, number, 1)?;
                    }
                }
            }
        }
    }

    /// Releases the deferred records of a partition that no guard holds back any more; whether some are left.
    fn release_deferred(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Halt> {
        loop {
            let Rooms {
                env,
                partitions,
                handling,
                ..
            } = self.rooms(kafka);
            let Some(partition) = partitions.get_mut(number) else {
                return Ok(false);
            };
            match handling.oldest(&env, number, partition) {
                Oldest::None => return Ok(false),
                Oldest::Waits => return Ok(true),
                Oldest::Ready => {}
            }
            // It may have waited for longer than the partition is surely ours.
            self.make_room(kafka, number)?;
            let Rooms {
                env,
                partitions,
                handling,
                ..
            } = self.rooms(kafka);
            handling.release(&env, partitions, number)?;
        }
    }

    /// Before a partition is given back: what is done takes effect. The rest, and handlers that wait, are dropped, and
    /// run again at the next owner.
    pub(super) fn end_waiting(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Halt> {
        let released = self.release_deferred(kafka, number);
        if let Some(partition) = self.partitions.get_mut(number) {
            partition.drop_begun();
        }
        released.map(drop)
    }

    /// Goes on with the visit that was asked for; whether there is more to do at once.
    pub(super) fn visit(&mut self, kafka: &dyn Kafka) -> Result<bool, Halt> {
        let Rooms {
            env,
            partitions,
            handling,
            ..
        } = self.rooms(kafka);
        let numbers = handling.begin_visit(&env, partitions);
        let mut more = false;
        for number in numbers {
            let visited = self.visit_some(kafka, number, KEYS_PER_TURN);
            more |= self.unless_set_back(kafka, visited)?.unwrap_or(false);
        }
        self.handling.end_visit_if_done();
        self.commit.set_visiting(self.handling.is_visiting());
        Ok(more)
    }

    /// Visits at most `max` rows of a partition; whether there is more to do at once.
    fn visit_some(&mut self, kafka: &dyn Kafka, number: i32, max: usize) -> Result<bool, Halt> {
        for _ in 0..max {
            let Rooms {
                env,
                partitions,
                handling,
                ..
            } = self.rooms(kafka);
            let (Some(edge), Some(row)) = (
                env.edges.table(),
                handling.next_row(&env, partitions, number)?,
            ) else {
                return Ok(false);
            };
            let record = Record {
                edge,
                partition: number,
                offset: row.origin.offset,
                timestamp: row.origin.timestamp,
                key: Some(&row.key),
                value: None,
                headers: Headers::default(),
            };
            let (origin, visit) = (row.origin, Some(&*row.visit));
            self.call(
                kafka,
                Call {
                    origin,
                    record,
                    visit,
                },
            )?;
        }
        Ok(true)
    }
}
