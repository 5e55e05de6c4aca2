//! The waiting work of a partition: async handlers, records to retry, and the backlog of later records. While a record
//! waits, the later records of its partition wait too, and other partitions go on. Must not know what else the worker
//! does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{call::panicked, state::Handling};
use crate::{
    base::{
        error::Error,
        index::SourceIx,
        record::{OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        env::Env,
        halt::Halt,
        partition::{
            Partition, Partitions, Trouble, Waiter,
            origin::{By, Origin},
        },
        program::{Failure, Visit},
    },
};

/// What a partition does next.
pub(crate) enum Next {
    /// Nothing now: an async handler waits, or too many records are deferred.
    Waits,
    /// Nothing now: a record is to be retried at a later time.
    Later,
    /// An async handler has returned.
    Returned(Returned),
    /// A record of a source is to be retried now.
    Again(SourceIx, Trouble),
    /// The visit of a row is to be retried now.
    VisitAgain(Arc<dyn Visit>, Trouble),
    /// The next record of the backlog is to be handled.
    Record(SourceIx, OwnedRecord),
    /// Nothing: the backlog is empty, and no handler waits.
    Through,
}

/// An async handler that has returned, and its outcome.
pub(crate) struct Returned {
    pub(crate) origin: Origin,
    record: Rc<OwnedRecord>,
    effects: Effects,
    outcome: Result<(), Failure>,
}

impl Handling {
    /// The partitions that have waiting work. Resets the waker before it looks for waiting work, so that no wake-up is
    /// lost.
    pub(crate) fn waiting(&self, partitions: &Partitions) -> Vec<i32> {
        self.woken.clear();
        partitions.which(|partition| !partition.queue().is_empty())
    }

    /// Adds a record to the backlog of its partition. When the backlog is full, the partition's inputs are unassigned.
    pub(crate) fn keep(
        &self,
        env: &Env<'_>,
        number: i32,
        partition: &mut Partition,
        (source, record): (SourceIx, &Record<'_>),
    ) -> Result<(), Error> {
        let queue = partition.queue_mut();
        queue.keep(source, OwnedRecord::of(record));
        if queue.is_backlog_full() {
            partition.feed_mut().hold();
            env.kafka.unassign(number)?;
        }
        Ok(())
    }

    /// Polls the async handler of a partition, and decides what the partition does next.
    pub(crate) fn next(&self, env: &Env<'_>, partition: &mut Partition) -> Next {
        let queue = partition.queue_mut();
        if let Some(waiter) = queue.waiter() {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut waking = Context::from_waker(&waker);
            let future = &mut waiter.future;
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut waking)));
            let (effects, outcome) = match polled {
                Ok(Poll::Pending) => return Next::Waits,
                Ok(Poll::Ready(done)) => done,
                Err(panic) => (Effects::default(), Err(panicked(&*panic))),
            };
            let Some(Waiter { origin, record, .. }) = queue.take_waiter() else {
                return Next::Through;
            };
            return Next::Returned(Returned {
                origin,
                record,
                effects,
                outcome,
            });
        }
        while queue.has_trouble() {
            let Some(trouble) = queue.take_trouble(env.now()) else {
                return Next::Later;
            };
            match (trouble.origin.by, &self.visiting) {
                (By::Source(source), _) => return Next::Again(source, trouble),
                (By::Visit(id), Some(visiting)) if visiting.is(id) => {
                    return Next::VisitAgain(visiting.visit(), trouble);
                }
                // The visit was given up: its row is not retried.
                (By::Visit(_), _) => {}
            }
        }
        if queue.deferrals().is_full() {
            return Next::Waits;
        }
        match queue.next_kept() {
            Some((source, record)) => Next::Record(source, record),
            None => Next::Through,
        }
    }

    /// Concludes the call of an async handler that has returned.
    pub(crate) fn conclude_returned(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        returned: Returned,
    ) -> Result<(), Halt> {
        let Returned {
            origin,
            record,
            effects,
            outcome,
        } = returned;
        let record = record.as_record();
        self.conclude_with(env, partitions, (origin, &record), effects, outcome)?;
        Ok(())
    }

    /// Assigns the inputs of a partition again if they were unassigned because the backlog was full.
    pub(crate) fn release_if_held(
        &self,
        env: &Env<'_>,
        number: i32,
        partition: &mut Partition,
    ) -> Result<(), Error> {
        if !partition.feed().is_held() {
            return Ok(());
        }
        partition.feed_mut().release();
        env.kafka.assign(number, partition.feed().fetched())
    }
}
