//! What an outbox knows of the records on their way, under its lock. Must not wait or call others.

use std::{collections::VecDeque, task::Waker};

use crate::base::error::Error;

/// Partition and offset of a record, or why it was not delivered.
pub(super) type Outcome = Result<(i32, i64), Error>;

#[derive(Default)]
pub(super) struct State {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// On their way.
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) flushes: Flushes,
    /// Those who wait for room or for a flush.
    pub(super) wakers: Vec<Waker>,
    /// Records that failed and that nobody asked about, since the last flush.
    pub(super) failed: usize,
    pub(super) first_failure: Option<String>,
    pub(super) closed: bool,
    /// The outbox was dropped.
    pub(super) left: bool,
}

enum Slot {
    Free,
    Sent {
        bytes: usize,
        epoch: u64,
        /// Whether a receipt will ask for the outcome.
        asked: bool,
        waker: Option<Waker>,
    },
    Settled(Outcome),
}

/// Counts what each flush waits for. A flush ends an epoch, and waits until nothing of it, or of one
/// before it, is on its way.
pub(super) struct Flushes {
    /// Records on their way, by epoch; the last one is open.
    epochs: VecDeque<usize>,
    first: u64,
}

impl State {
    /// A record that is sent, and that will be reported with its slot.
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

    /// It was not sent after all.
    pub(super) fn not_sent(&mut self, slot: usize) {
        self.settle(slot);
        self.release(slot);
    }

    /// What became of a record: kept for who asks, who is to be woken. A failure that nobody asks
    /// about is given back, to be logged.
    pub(super) fn reported(
        &mut self,
        slot: usize,
        outcome: Outcome,
    ) -> (Option<Waker>, Option<Error>) {
        let (asked, waker) = self.settle(slot);
        if asked {
            self.slots[slot] = Slot::Settled(outcome);
            return (waker, None);
        }
        self.release(slot);
        (waker, self.unasked(outcome))
    }

    /// The outcome of a record, once; until there is one, `waker` is kept.
    pub(super) fn ask(&mut self, slot: usize, waker: &Waker) -> Option<Outcome> {
        if let Slot::Sent { waker: asking, .. } = &mut self.slots[slot] {
            *asking = Some(waker.clone());
            return None;
        }
        match self.release(slot) {
            Slot::Settled(outcome) => Some(outcome),
            Slot::Sent { .. } | Slot::Free => Some(Err(Error::Closed("the emitter"))),
        }
    }

    /// Nobody will ask about a record. If it failed, its failure is given back, to be logged.
    pub(super) fn forget(&mut self, slot: usize) -> Option<Error> {
        if let Slot::Sent { asked, waker, .. } = &mut self.slots[slot] {
            *asked = false;
            *waker = None;
            return None;
        }
        match self.release(slot) {
            Slot::Settled(outcome) => self.unasked(outcome),
            Slot::Sent { .. } | Slot::Free => None,
        }
    }

    /// Calls `waker` at the next report.
    pub(super) fn call(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    /// It is no longer on its way: whether its outcome is asked for, and by whom.
    fn settle(&mut self, slot: usize) -> (bool, Option<Waker>) {
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
        // Not gone yet, because something of it is on its way or it is the open one.
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
