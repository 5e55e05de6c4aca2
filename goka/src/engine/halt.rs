//! Why work stops before it is done: a setback makes uncommitted work void, a fatal error ends the worker.
//!
//! Whoever finds out returns the value; `worker.rs` alone acts on it. Must not know what has to be undone.

use std::fmt;

use crate::{base::error::Error, engine::port::Undelivered};

/// Why a call was not finished.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Uncommitted work is void, and its partitions go back to recovery. The worker goes on.
    Setback(Setback),
    /// The worker ends, and commits what was handled before.
    Fatal(Error),
}

/// What makes uncommitted work void.
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

/// Whose work a setback made void.
pub(crate) struct Voided {
    pub(crate) partitions: Vec<i32>,
    /// A commit was under way, and may take place.
    pub(crate) is_in_doubt: bool,
}

/// The cause of a setback, and what follows from it beside recovery.
#[derive(Debug)]
pub(crate) enum Why {
    /// Nothing more follows.
    Dropped(String),
    /// A record was not delivered. If it never will be, the setback is counted, and too many end the worker.
    Undelivered(Undelivered),
    /// A handler took longer than a transaction may be open. Counted likewise.
    Slow(String),
    /// The disk has no room for the local copy: the partition rests before it recovers.
    NoRoom(Error),
    /// The worker ends with this error.
    Fatal(Error),
}

impl Scope {
    /// The partition that it names.
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
        Halt::Setback(setback)
    }
}

/// Turns the result of a write to a partition's local copy into what follows from it. What the partition sent is in its
/// changelog, and is read again from there.
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
