//! Faults that are planted in the engine on purpose, so that the simulation and the crash suite can
//! show that they would find them. For tests of goka itself: without the feature `faults` no engine
//! can have one, and what asks for it is compiled away.
//!
//! A real process takes its fault from `GOKA_FAULT`, for example `GOKA_FAULT=skip-tail`; a simulated
//! worker from its settings. Must not know what a fault does: that stands where it is done.

#[cfg(feature = "faults")]
use crate::base::error::Error;

/// What an engine can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// At-least-once: the local copy, and with it the group, is told of an interval before its
    /// delivery reports are in. Exactly-once: the local copy is, before Kafka has committed.
    CommitBeforeAck,
    /// What the table's topic has behind a local copy is not read before records are handled.
    SkipTail,
    /// A deletion stays here: the table's topic does not get it.
    DropTombstone,
    /// What a handler did takes effect twice.
    DoubleApply,
    /// What a handler did takes effect, although it failed.
    KeepFailed,
    /// Exactly-once: nobody ends the transaction of a former owner that stands in the way.
    NoFence,
    /// Exactly-once: where the group stands is asked while a transaction of this worker may still be
    /// committed.
    NoGate,
}

/// The fault of one engine, if it has any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted(#[cfg(any(test, feature = "faults"))] Option<Fault>);

#[cfg(any(test, feature = "faults"))]
impl Planted {
    #[cfg(test)]
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Planted(fault)
    }

    /// Whether this engine has that fault.
    pub(crate) fn is(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }
}

#[cfg(not(any(test, feature = "faults")))]
impl Planted {
    /// Never.
    pub(crate) const fn is(self, _: Fault) -> bool {
        false
    }
}

#[cfg(feature = "faults")]
impl Planted {
    /// By the names that `GOKA_FAULT` takes.
    const NAMED: [(&str, Fault); 7] = [
        ("commit-before-ack", Fault::CommitBeforeAck),
        ("skip-tail", Fault::SkipTail),
        ("drop-tombstone", Fault::DropTombstone),
        ("double-apply", Fault::DoubleApply),
        ("keep-failed", Fault::KeepFailed),
        ("no-fence", Fault::NoFence),
        ("no-gate", Fault::NoGate),
    ];

    /// What the environment asks for.
    ///
    /// # Errors
    /// [`Error::Config`] for a fault that there is not.
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
        tracing::warn!("GOKA_FAULT: this process does wrong on purpose ({name})");
        Ok(Planted(Some(*fault)))
    }
}

#[cfg(not(feature = "faults"))]
impl Planted {
    /// None.
    pub(crate) fn from_env() -> crate::base::error::Result<Self> {
        Ok(Planted::default())
    }
}
