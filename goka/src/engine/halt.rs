//! Why a call stops before it is done: a setback voids uncommitted work, a fatal error ends the worker.
//!
//! The code that finds the cause returns it as a value, and only `worker.rs` applies a setback. Must not know what has
//! to be undone.

use std::fmt;

use crate::{base::error::Error, engine::port::Undelivered};

/// Why a call stopped before it was done.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Uncommitted work is void, and its partitions recover. The worker goes on.
    Setback(Box<Setback>),
    /// The worker ends. The records that were handled before are still committed.
    Fatal(Error),
}

/// An event that voids uncommitted work and sends its partitions back to recovery.
#[derive(Debug)]
pub(crate) struct Setback {
    pub(crate) scope: Scope,
    pub(crate) why: Why,
}

/// Whose work is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The work of this partition. Under exactly-once the work of a running partition is in the worker's
    /// transaction, which is aborted with all that it holds.
    Partition(i32),
    /// The worker's transaction, and the work of this partition, which does not run. At-least-once has no transaction.
    Transaction(Option<i32>),
    /// The work of all partitions: the worker may have lost its membership.
    Worker,
}

/// The work that a setback voids.
pub(crate) struct Voided {
    /// The partitions that have to recover.
    pub(crate) partitions: Vec<i32>,
    /// A transaction was being committed, and may be committed or not.
    pub(crate) is_in_doubt: bool,
}

/// The cause of a setback, and what it leads to beside recovery.
#[derive(Debug)]
pub(crate) enum Why {
    /// Recovery, and nothing more.
    Dropped(String),
    /// A record was not delivered. If retrying cannot help, the setback is counted, and too many in a row end the
    /// worker.
    Undelivered(Undelivered),
    /// A handler took longer than a transaction may be open. The setback is counted, and too many in a row end the
    /// worker.
    Slow(String),
    /// The disk has no space for the local copy: the partition rests before it recovers.
    NoRoom(Error),
    /// The worker ends with this error.
    Fatal(Error),
}

impl Scope {
    /// The partition that the scope names.
    pub(crate) fn partition(self) -> Option<i32> {
        match self {
            Scope::Partition(number) => Some(number),
            Scope::Transaction(number) => number,
            Scope::Worker => None,
        }
    }
}

impl Setback {
    /// A setback of one partition, after which it recovers.
    pub(crate) fn dropped(partition: i32, reason: impl Into<String>) -> Self {
        Setback {
            scope: Scope::Partition(partition),
            why: Why::Dropped(reason.into()),
        }
    }

    /// A setback of one partition, after which the worker ends.
    pub(crate) fn fatal(partition: i32, error: Error) -> Self {
        Setback {
            scope: Scope::Partition(partition),
            why: Why::Fatal(error),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Dropped(reason) | Why::Slow(reason) => f.write_str(reason),
            Why::Undelivered(failure) => f.write_str(&failure.reason),
            Why::NoRoom(error) | Why::Fatal(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Fatal(error)
    }
}

impl From<Setback> for Halt {
    fn from(setback: Setback) -> Self {
        Halt::Setback(Box::new(setback))
    }
}

/// Turns an error of a write to a partition's local copy into a setback. The rows are in the changelog, and recovery
/// reads them from there.
pub(crate) fn stored(partition: i32, written: Result<(), Error>) -> Result<(), Halt> {
    written.map_err(|error| {
        let why = match error {
            Error::NoRoom { .. } => Why::NoRoom(error),
            error => Why::Fatal(error),
        };
        let scope = Scope::Partition(partition);
        Setback { scope, why }.into()
    })
}
