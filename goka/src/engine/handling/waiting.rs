//! Handlers that wait: polled on the worker's thread, one record of a partition after another, while
//! other partitions go on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    base::error::Error,
    engine::{
        effects::Effects,
        handling::failure::panicked,
        partition::{By, Partition},
        port::Kafka,
        worker::Core,
    },
};

/// Whether a handler that waits can go on: set from any thread, looked at by the worker.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Woken {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Core {
    /// Lets every handler that waits go on, and what was deferred; whether some still waits.
    pub(crate) fn advance_waiting(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        let waits = |p: &&Partition| {
            p.waiting.is_some()
                || p.trouble.is_some()
                || !p.backlog.is_empty()
                || !p.deferrals.is_empty()
        };
        let numbers = self.partitions.values().filter(waits);
        let numbers: Vec<i32> = numbers.map(|p| p.number).collect();
        // Before they are polled: what wakes them from now on counts for the next time.
        self.woken.0.store(false, Ordering::Release);
        let mut waits = false;
        for number in numbers {
            waits |= self.release_deferred(kafka, number)?;
            waits |= self.advance(kafka, number)?;
        }
        Ok(waits)
    }

    /// Lets the handler of a partition go on, then those of the records behind it.
    pub(crate) fn advance(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Error> {
        loop {
            let Some(partition) = self.partitions.get_mut(&number) else {
                return Ok(false);
            };
            if let Some((future, ..)) = &mut partition.waiting {
                let waker = Waker::from(Arc::clone(&self.woken));
                let mut waking = Context::from_waker(&waker);
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut waking)));
                let (effects, outcome) = match polled {
                    Ok(Poll::Pending) => return Ok(true),
                    Ok(Poll::Ready(done)) => done,
                    Err(panic) => (Effects::default(), Err(panicked(&*panic))),
                };
                let Some((_, origin, record)) = partition.waiting.take() else {
                    return Ok(false);
                };
                // It may have waited for longer than the partition is surely ours.
                if !self.make_room(kafka, number)? {
                    return Ok(false);
                }
                self.conclude(kafka, origin, &record.as_record(), effects, outcome)?;
                if matches!(origin.by, By::Source(_)) {
                    // In turn with the records, which may never end.
                    self.visit_some(kafka, number, 1)?;
                }
                continue;
            }
            if partition.trouble.is_some() {
                if !self.try_again(kafka, number)? {
                    return Ok(false);
                }
                continue;
            }
            if partition.deferrals.is_full() {
                return Ok(true);
            }
            match partition.next_kept() {
                Some(record) => self.handle(kafka, &record.as_record())?,
                None => {
                    self.release_if_held(kafka, number)?;
                    return Ok(false);
                }
            }
        }
    }

    /// Enough is kept for a partition that waits: its inputs are unassigned, the others go on.
    pub(crate) fn hold_if_full(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        if let Some(partition) = self.partitions.get_mut(&number)
            && partition.is_backlog_full()
        {
            partition.held = true;
            kafka.unassign(number)?;
        }
        Ok(())
    }

    pub(crate) fn release_if_held(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        match self.partitions.get_mut(&number) {
            Some(partition) if partition.held => {
                partition.held = false;
                kafka.assign(number, &partition.fetched)
            }
            _ => Ok(()),
        }
    }
}
