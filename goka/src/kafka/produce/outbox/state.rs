//! What the lock of an outbox protects: the outbox's records in flight, and the outcomes that nobody has taken yet.
//! Must not wait or call wakers.

use std::{collections::VecDeque, task::Waker};

use crate::base::error::Error;

/// Partition and offset of a record, or why the record was not delivered.
pub(super) type Outcome = Result<(i32, i64), Error>;

#[derive(Default)]
pub(super) struct State {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Number of the records in flight.
    pub(super) records: usize,
    /// Size of the records in flight, in bytes.
    pub(super) bytes: usize,
    pub(super) flushes: Flushes,
    /// Tasks that wait for room or for a flush.
    pub(super) wakers: Vec<Waker>,
    /// Number of records that have failed since the last flush and whose outcome nobody took.
    pub(super) failed: usize,
    pub(super) first_failure: Option<String>,
    pub(super) closed: bool,
    /// Whether the outbox was dropped.
    pub(super) left: bool,
}

enum Slot {
    Free,
    Sent {
        bytes: usize,
        epoch: u64,
        /// Whether a receipt will take the outcome.
        asked: bool,
        waker: Option<Waker>,
    },
    Reported(Outcome),
}

/// Counts the records that each flush waits for. A flush ends an epoch, and waits until no record of that epoch or of
/// an earlier epoch is in flight.
pub(super) struct Flushes {
    /// Number of records in flight in each epoch, beginning with epoch `first`. The last epoch is open: new records
    /// belong to it.
    epochs: VecDeque<usize>,
    first: u64,
}

impl State {
    /// Registers a record that is being sent, and returns the record's slot, which the record's report will name.
    pub(super) fn sent(&mut self, bytes: usize) -> usize {
        self.records += 1;
        self.bytes += bytes;
        let sent = Slot::Sent {
            bytes,
            epoch: self.flushes.enter(),
            asked: true,
            waker: None,
        };
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = sent;
                slot
            }
            None => {
                self.slots.push(sent);
                self.slots.len() - 1
            }
        }
    }

    /// Removes a record that was not sent after all.
    pub(super) fn not_sent(&mut self, slot: usize) {
        self.land(slot);
        self.release(slot);
    }

    /// Registers the outcome of a record. Returns the waker of the receipt that will take the outcome. If the record
    /// has failed and nobody will take the outcome, returns the failure, which the caller has to log.
    pub(super) fn reported(
        &mut self,
        slot: usize,
        outcome: Outcome,
    ) -> (Option<Waker>, Option<Error>) {
        let (asked, waker) = self.land(slot);
        if asked {
            self.slots[slot] = Slot::Reported(outcome);
            return (waker, None);
        }
        self.release(slot);
        (waker, self.unasked(outcome))
    }

    /// Returns the outcome of a record. If there is no outcome yet, keeps `waker`, to be called when there is one.
    pub(super) fn ask(&mut self, slot: usize, waker: &Waker) -> Option<Outcome> {
        if let Slot::Sent { waker: asking, .. } = &mut self.slots[slot] {
            *asking = Some(waker.clone());
            return None;
        }
        match self.release(slot) {
            Slot::Reported(outcome) => Some(outcome),
            Slot::Sent { .. } | Slot::Free => Some(Err(Error::Closed("the emitter"))),
        }
    }

    /// Notes that nobody will take the outcome of a record. If the record has already failed, returns the failure,
    /// which the caller has to log.
    pub(super) fn forget(&mut self, slot: usize) -> Option<Error> {
        if let Slot::Sent { asked, waker, .. } = &mut self.slots[slot] {
            *asked = false;
            *waker = None;
            return None;
        }
        match self.release(slot) {
            Slot::Reported(outcome) => self.unasked(outcome),
            Slot::Sent { .. } | Slot::Free => None,
        }
    }

    /// Keeps `waker`, to be called at the next report.
    pub(super) fn call(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    /// Notes that a record is no longer in flight. Returns whether a receipt will take the outcome, and the waker of
    /// that receipt.
    fn land(&mut self, slot: usize) -> (bool, Option<Waker>) {
        let sent = std::mem::replace(&mut self.slots[slot], Slot::Free);
        let Slot::Sent {
            bytes,
            epoch,
            asked,
            waker,
        } = sent
        else {
            return (false, None);
        };
        self.records -= 1;
        self.bytes -= bytes;
        self.flushes.leave(epoch);
        (asked, waker)
    }

    fn release(&mut self, slot: usize) -> Slot {
        self.free.push(slot);
        std::mem::replace(&mut self.slots[slot], Slot::Free)
    }

    fn unasked(&mut self, outcome: Outcome) -> Option<Error> {
        let error = outcome.err()?;
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
        Some(error)
    }
}

impl Default for Flushes {
    fn default() -> Self {
        Flushes {
            epochs: VecDeque::from([0]),
            first: 0,
        }
    }
}

impl Flushes {
    fn open(&self) -> u64 {
        self.first + self.epochs.len() as u64 - 1
    }

    fn count(&mut self, epoch: u64) -> &mut usize {
        // The epoch still exists, because it is open or has a record in flight.
        let index = (epoch - self.first) as usize;
        &mut self.epochs[index]
    }

    fn enter(&mut self) -> u64 {
        let open = self.open();
        *self.count(open) += 1;
        open
    }

    fn leave(&mut self, epoch: u64) {
        *self.count(epoch) -= 1;
        self.forget();
    }

    pub(super) fn end_epoch(&mut self) -> u64 {
        let ended = self.open();
        self.epochs.push_back(0);
        self.forget();
        ended
    }

    fn forget(&mut self) {
        while self.epochs.len() > 1 && self.epochs[0] == 0 {
            self.epochs.pop_front();
            self.first += 1;
        }
    }

    pub(super) fn is_over(&self, epoch: u64) -> bool {
        epoch < self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_what_was_before_it() {
        let mut flushes = Flushes::default();
        let early = flushes.enter();
        let mark = flushes.end_epoch();
        let late = flushes.enter();
        assert!(!flushes.is_over(mark));
        flushes.leave(late);
        assert!(!flushes.is_over(mark));
        flushes.leave(early);
        assert!(flushes.is_over(mark));
        let empty = flushes.end_epoch();
        assert!(flushes.is_over(empty));
    }

    #[test]
    fn many_flushes_take_no_memory() {
        let mut flushes = Flushes::default();
        for _ in 0..1000 {
            let epoch = flushes.enter();
            flushes.end_epoch();
            flushes.leave(epoch);
        }
        assert_eq!(flushes.epochs.len(), 1);
    }
}
