//! The connection of one worker to Kafka, as the engine sees it. Must not know who implements the connection.

use super::{Clock, Member, Producer, Reader, Step, Transactions, crash};
use crate::base::error::Error;

/// A worker's connection to Kafka: clock, group member, producer, transactions, and the reader of the changelog.
///
/// One worker owns the connection and calls it from one thread. All methods take `&self`, so that the engine can
/// produce, commit and assign while it holds a record that the connection lends.
pub(crate) trait Kafka: Clock + Member + Producer + Transactions {
    /// The reader of the changelog. `None` for a group without a table.
    fn table(&self) -> Option<&dyn Reader>;

    /// Called when the commit protocol has reached `step`, so that tests can stop the worker here: a simulation
    /// returns an error, and a process that was started with `GOKA_CRASH_AT` kills itself (see [`crash`]). In any
    /// other process, nothing happens.
    fn reached(&self, step: Step) -> Result<(), Error> {
        crash::pass(step);
        Ok(())
    }

    /// Leaves the group, and drops records that are still queued. No other method may be called afterwards. Default:
    /// does nothing, for a connection that has nothing to close before it is dropped.
    fn close(&self) {}
}
