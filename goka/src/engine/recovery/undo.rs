//! Undoes the tail of a changelog: for each key in the tail whose row has changed, writes the row that the key had at
//! the group's cut. The rows must land directly behind the tail that was read; otherwise someone else still writes,
//! and the tail has to be read again. Must not know phases, nor how the rows are committed.

use tracing::{debug, info};

use crate::{
    base::error::Error,
    engine::{
        env::Env,
        halt::{Halt, Scope, Setback},
        partition::{Partitions, ledger::Sent},
        port::fault::Fault,
        table::{overlay::Overlay, rows::Rows},
    },
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

/// How far the undo of a tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Rows are in flight or still to be sent.
    Waiting,
    /// The rows are written.
    Done,
    /// The tail has to be read again.
    Again,
}

impl Undo {
    /// The undo of a tail that ends at `end`; `None` if no row has to be written.
    pub(super) fn of(keys: Vec<Vec<u8>>, end: i64) -> Option<Self> {
        (!keys.is_empty()).then_some(Undo { keys, sent: 0, end })
    }

    /// Sends the next rows, or takes the delivery reports. When all rows are written, the changelog offset of the
    /// partition's copy is behind them. `kept`: rows of the tail that belong to the table.
    pub(super) fn advance(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        kept: &Overlay,
    ) -> Result<Undone, Halt> {
        let Some(partition) = partitions.get(number) else {
            return Ok(Undone::Again);
        };
        let rows = partition.rows().clone();
        if self.sent == 0 {
            info!(
                group = env.group(),
                topic = env.changelog(),
                partition = number,
                rows = self.keys.len(),
                "undoing rows behind the group's commit; their records will be handled again"
            );
        }
        let at_ms = env.kafka.wall_ms();
        let last = self.keys.len().min(self.sent + ROWS);
        for key in &self.keys[self.sent..last] {
            let value = at_cut(kept, &rows, key)?;
            let account = (number, HALF, Sent::Row);
            partitions.send_row(env, account, (key, value.as_deref()), at_ms)?;
        }
        self.sent = last;
        if self.sent < self.keys.len() || partitions.ledger().pending(number) > 0 {
            return Ok(Undone::Waiting);
        }
        let ledger = partitions.ledger_mut();
        let outcome = ledger.take(number, HALF);
        ledger.take_gaps(number);
        if let Some(failure) = outcome.failed {
            let scope = Scope::Transaction(Some(number));
            return Err(Setback::undelivered(scope, failure).into());
        }
        let next = outcome.changelog.unwrap_or(self.end);
        let is_contiguous =
            i64::try_from(self.keys.len()).is_ok_and(|rows| next == self.end + rows);
        if !is_contiguous && !env.spec.settings.fault.is(Fault::NoUndoGap) {
            debug!(
                partition = number,
                end = self.end,
                next,
                "another client wrote to the changelog meanwhile; reading it again"
            );
            return Ok(Undone::Again);
        }
        if let Some(partition) = partitions.get_mut(number) {
            partition.copy_mut().set_changelog(next);
        }
        Ok(Undone::Done)
    }
}

/// The value of a key at the cut: that of a row which was written on purpose later, or else that of the local copy.
fn at_cut(kept: &Overlay, rows: &Rows, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match kept.get(key) {
        Some(value) => Ok(value.map(<[u8]>::to_vec)),
        None => rows.read_sent(key, |value| value.map(<[u8]>::to_vec)),
    }
}
