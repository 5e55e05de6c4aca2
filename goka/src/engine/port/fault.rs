//! Planted faults: bugs that are built into the engine on purpose, to prove that the simulation and the crash suite
//! find them. Planted faults serve tests of goka itself: without the feature `faults`, no engine has a planted fault,
//! and the checks for faults compile to nothing.
//!
//! A real process takes its fault from the environment variable `GOKA_FAULT`, for example `GOKA_FAULT=skip-tail`; a
//! simulated worker takes its fault from its settings. Must not know how a fault misbehaves: the code of a fault is
//! beside the correct code.

#[cfg(feature = "faults")]
use crate::base::error::Error;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// At-least-once: an interval is stored, and its positions are committed, before it is acknowledged. Exactly-once:
    /// an interval is stored before Kafka has committed the transaction.
    CommitBeforeAck,
    /// A partition runs without restoring the tail of its changelog: the rows that its local copy does not have yet.
    SkipTail,
    /// A deletion is applied to the local copy, but not sent to the changelog.
    DropTombstone,
    /// The effects of a handler are applied twice.
    DoubleApply,
    /// The effects of a handler that failed are applied.
    KeepFailed,
    /// Exactly-once: an open transaction of the previous owner, which blocks the partition, is not aborted.
    NoFence,
    /// Exactly-once: a partition fetches committed offsets while a transaction of this worker may still be committed.
    NoGate,
}

/// The fault of one engine, if one is planted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted(#[cfg(any(test, feature = "faults"))] Option<Fault>);

#[cfg(any(test, feature = "faults"))]
impl Planted {
    #[cfg(test)]
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Planted(fault)
    }

    /// Whether this fault is planted.
    pub(crate) fn is(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }
}

#[cfg(not(any(test, feature = "faults")))]
impl Planted {
    /// Always `false` without the feature `faults`.
    pub(crate) const fn is(self, _: Fault) -> bool {
        false
    }
}

#[cfg(feature = "faults")]
impl Planted {
    /// The names that `GOKA_FAULT` takes.
    const NAMED: [(&str, Fault); 7] = [
        ("commit-before-ack", Fault::CommitBeforeAck),
        ("skip-tail", Fault::SkipTail),
        ("drop-tombstone", Fault::DropTombstone),
        ("double-apply", Fault::DoubleApply),
        ("keep-failed", Fault::KeepFailed),
        ("no-fence", Fault::NoFence),
        ("no-gate", Fault::NoGate),
    ];

    /// Reads the fault from the environment variable `GOKA_FAULT`.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown fault.
    pub(crate) fn from_env() -> Result<Self, Error> {
        let Some(wanted) = std::env::var_os("GOKA_FAULT") else {
            return Ok(Planted::default());
        };
        let found = Self::NAMED.iter().find(|(name, _)| wanted == **name);
        let Some((name, fault)) = found else {
            let names = Self::NAMED.map(|(name, _)| name).join("`, `");
            return Err(Error::Config(format!(
                "the environment variable GOKA_FAULT is {wanted:?}, but must be one of `{names}`"
            )));
        };
        tracing::warn!(
            fault = name,
            "GOKA_FAULT is set: this process has a planted fault"
        );
        Ok(Planted(Some(*fault)))
    }
}

#[cfg(not(feature = "faults"))]
impl Planted {
    /// Without the feature `faults`, no fault is planted.
    pub(crate) fn from_env() -> crate::base::error::Result<Self> {
        Ok(Planted::default())
    }
}
