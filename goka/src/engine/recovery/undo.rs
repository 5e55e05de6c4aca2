//! Undoes the tail of a changelog: for each key in the tail, writes the row that the key had at the group's cut. The
//! rows must land directly behind the tail that was read; otherwise someone else still writes, and the tail is read
//! again. Must not know how the rows are committed.

use tracing::{debug, info};

use super::{
    phase::Phase,
    restore::Start,
    state::{RETRY, Recovery},
};
use crate::engine::{
    env::Env,
    halt::{Halt, Scope, Setback, Why},
    partition::{Partitions, ledger::Sent},
    port::fault::Fault,
    table::overlay::Overlay,
};

/// The greatest number of rows that are sent at a time.
const ROWS: usize = 2_000;
/// The half of the partition's account in the ledger that counts these rows. No commit interval uses this half yet.
const HALF: usize = 0;

/// The rows to write.
pub(super) struct Undo {
    /// The keys whose rows are written.
    keys: Vec<Vec<u8>>,
    /// The number of keys whose rows were sent.
    sent: usize,
    /// The end of the tail that was read: the first row has to get this offset.
    end: i64,
}

impl Undo {
    /// The undo of a tail that ends at `end`; `None` if no row has to be written.
    pub(super) fn of(keys: Vec<Vec<u8>>, end: i64) -> Option<Self> {
        (!keys.is_empty()).then_some(Undo { keys, sent: 0, end })
    }
}

/// How far the undo of a tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Rows are in flight or still to be sent.
    Waiting,
    /// The rows are written.
    Done,
    /// Someone else wrote to the changelog: the tail is read again.
    Again,
}

impl Recovery {
    /// Whether a tail is still to be undone before a partition is claimed.
    pub(crate) fn must_undo(&self, number: i32) -> bool {
        matches!(
            self.phases.get(&number),
            Some(Phase::Claiming { undo: Some(_), .. })
        )
    }

    /// Advances the undo of a partition's tail. The changelog offset of the copy is behind the rows afterwards.
    pub(crate) fn undo(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Undone, Halt> {
        let (
            Some(partition),
            Some(Phase::Claiming {
                undo: Some(undo),
                kept,
                ..
            }),
        ) = (partitions.get(number), self.phases.get_mut(&number))
        else {
            return Ok(Undone::Done);
        };
        let rows = partition.rows().clone();
        if undo.sent == 0 {
            info!(
                group = env.group(),
                topic = env.changelog(),
                partition = number,
                rows = undo.keys.len(),
                "undoing rows behind the group's commit, whose records will be handled again"
            );
            partitions.ledger_mut().expect_row(number, undo.end);
        }
        let at_ms = env.kafka.wall_ms();
        let last = undo.keys.len().min(undo.sent + ROWS);
        for key in &undo.keys[undo.sent..last] {
            let value = value_at_cut(kept, &rows, key)?;
            let account = (number, HALF, Sent::Row);
            partitions.send_row(env, account, (key, value.as_deref()), at_ms)?;
        }
        undo.sent = last;
        if undo.sent < undo.keys.len() || partitions.ledger().pending(number) > 0 {
            return Ok(Undone::Waiting);
        }
        let ledger = partitions.ledger_mut();
        let outcome = ledger.take(number, HALF);
        ledger.take_gaps(number);
        if let Some(failure) = outcome.failed {
            let (scope, why) = (Scope::Transaction(Some(number)), Why::Undelivered(failure));
            return Err(Setback { scope, why }.into());
        }
        let (end, written) = (undo.end, undo.keys.len());
        let next = outcome.changelog.unwrap_or(end);
        let is_contiguous = i64::try_from(written).is_ok_and(|rows| next == end + rows);
        if !is_contiguous && !env.spec.settings.fault.is(Fault::NoUndoGap) {
            debug!(
                partition = number,
                end, next, "another client wrote to the changelog meanwhile; reading it again"
            );
            self.set(
                number,
                Phase::FetchingOffsets {
                    at: env.now() + RETRY,
                },
            );
            return Ok(Undone::Again);
        }
        if let Some(partition) = partitions.get_mut(number) {
            partition.copy_mut().set_changelog(next);
        }
        self.undone(env, partitions, number, next)
    }

    /// Notes that the tail, or a share of its keys, is undone up to the changelog offset `next`.
    fn undone(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        next: i64,
    ) -> Result<Undone, Halt> {
        let Some(Phase::Claiming {
            offsets,
            undo,
            kept,
            share,
            ..
        }) = self.phases.get_mut(&number)
        else {
            return Ok(Undone::Again);
        };
        *undo = None;
        if let Some(share) = share.next() {
            let offsets = std::mem::take(offsets);
            let start = Start::share(share, std::mem::take(kept));
            self.begin_restore(env, partitions, number, offsets, start)?;
            return Ok(Undone::Again);
        }
        if self.rules.finds_gaps {
            partitions.ledger_mut().expect_row(number, next);
        }
        Ok(Undone::Done)
    }
}

/// The value of a key at the cut: that of a row that was written on purpose later, or else that of the local copy.
fn value_at_cut(
    kept: &Overlay,
    rows: &crate::engine::table::rows::Rows,
    key: &[u8],
) -> Result<Option<Vec<u8>>, crate::base::error::Error> {
    match kept.get(key) {
        Some(value) => Ok(value.map(<[u8]>::to_vec)),
        None => rows.read_sent(key, |value| value.map(<[u8]>::to_vec)),
    }
}
