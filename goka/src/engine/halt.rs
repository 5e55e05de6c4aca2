//! Why a call stops before it is done: a setback voids uncommitted work, a fatal error ends the worker.
//!
//! The code that finds the cause returns it as a `Halt`, and only `worker.rs` applies a setback. Must not know what
//! has to be undone.

use std::fmt;

use crate::{base::error::Error, engine::port::Undelivered};

/// Why a call stopped before it was done.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Uncommitted work is void, and the partitions of this work recover. The worker goes on, unless the cause ends
    /// it.
    Setback(Box<Setback>),
    /// The worker ends. The records that were handled before the error are still committed.
    Fatal(Error),
}

/// An event that voids uncommitted work and sends the partitions of this work back to recovery.
#[derive(Debug)]
pub(crate) struct Setback {
    pub(crate) scope: Scope,
    pub(crate) why: Why,
}

/// Which work a setback voids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The work of this partition. Under exactly-once, the work of a running partition is part of the worker's
    /// transaction, and the whole transaction is aborted.
    Partition(i32),
    /// All work in the worker's transaction and, if a partition is given, the work of this partition, which does not
    /// run. At-least-once has no transaction: only the work of the partition is void.
    Transaction(Option<i32>),
    /// The work of all partitions, because the worker may have lost its membership.
    Worker,
}

/// What a setback has voided.
pub(crate) struct Voided {
    /// The partitions that have to recover because of the setback.
    pub(crate) partitions: Vec<i32>,
    /// Whether a transaction was being committed. If so, it is unknown whether Kafka has committed the transaction.
    pub(crate) is_in_doubt: bool,
}

/// The cause of a setback. The cause determines what happens in addition to recovery.
#[derive(Debug)]
pub(crate) enum Why {
    /// Some other cause, for the log. Nothing happens in addition to recovery.
    Dropped(String),
    /// A record was not delivered. If retrying cannot help, the setback is counted, and too many counted setbacks of a
    /// partition in a row end the worker.
    Undelivered(Undelivered),
    /// A handler kept the thread for longer than a transaction allows. The setback is counted, and too many counted
    /// setbacks of a partition in a row end the worker.
    Slow(String),
    /// The disk has no space for the local copy. The partition pauses before it recovers.
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
    /// A setback of one partition, after which the partition recovers.
    pub(crate) fn dropped(partition: i32, reason: impl Into<String>) -> Self {
        Setback {
            scope: Scope::Partition(partition),
            why: Why::Dropped(reason.into()),
        }
    }

    /// A setback because a record was not delivered.
    pub(crate) fn undelivered(scope: Scope, failure: Undelivered) -> Self {
        let why = Why::Undelivered(failure);
        Setback { scope, why }
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

impl Halt {
    /// Makes a fatal error the setback of one partition, so that the other partitions are still finished before the
    /// worker ends.
    pub(crate) fn of_partition(self, partition: i32) -> Self {
        match self {
            Halt::Fatal(error) => Setback::fatal(partition, error).into(),
            setback => setback,
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

/// Turns the error of a write to a partition's local copy into a setback. The rows are in the changelog, from which
/// recovery reads them.
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
