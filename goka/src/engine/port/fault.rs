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
    /// Rows behind the group's commit are never undone.
    KeepTail,
    /// The local copy is stored before the group has taken the interval's offsets.
    CopyFirst,
    /// On the group's answer, the local copy gets what is acknowledged by now, instead of what was offered.
    CopyCurrent,
    /// Recovery takes the row at the group's commit for a row before it.
    TailBeyond,
    /// A standby stores rows behind the group's commit.
    StandbyAhead,
    /// A claim says that the partition was given back cleanly.
    ClaimKeepsClean,
    /// A claim commits the changelog offset before the rows that undo the tail.
    ClaimOldT,
    /// An interval with a gap closes alone if no foreign row needs a repair.
    BarrierOnlyIfRepair,
    /// Rows of others between the rows that undo a tail are not noticed.
    NoUndoGap,
    /// An interval is acknowledged before the delivery reports of its outputs are in.
    #[cfg(any(test, feature = "faults"))]
    OutputNotWaited,
    /// Offsets whose commit failed or got no answer count as taken.
    StoreUnknown,
    /// A cut is believed although another client has committed offsets of inputs.
    #[cfg(any(test, feature = "faults"))]
    OldTNewerInputs,
    /// A local copy beyond the group's commit is used.
    LateCommitWithoutRebuild,
    /// Recovery does not notice that rows before the group's commit were compacted away.
    Lag0LaggingCopy,
    /// A commit of which the group refused a part counts as taken.
    #[cfg(any(test, feature = "faults"))]
    TornCommit,
    /// Rows of a tail count as young, whatever their timestamps.
    EventTimeRows,
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
    const NAMED: [(&str, Fault); 23] = [
        ("commit-before-ack", Fault::CommitBeforeAck),
        ("skip-tail", Fault::SkipTail),
        ("drop-tombstone", Fault::DropTombstone),
        ("double-apply", Fault::DoubleApply),
        ("keep-failed", Fault::KeepFailed),
        ("no-fence", Fault::NoFence),
        ("no-gate", Fault::NoGate),
        ("keep-tail", Fault::KeepTail),
        ("copy-first", Fault::CopyFirst),
        ("copy-current", Fault::CopyCurrent),
        ("tail-beyond", Fault::TailBeyond),
        ("standby-ahead", Fault::StandbyAhead),
        ("claim-keeps-clean", Fault::ClaimKeepsClean),
        ("claim-old-t", Fault::ClaimOldT),
        ("barrier-only-if-repair", Fault::BarrierOnlyIfRepair),
        ("no-undo-gap", Fault::NoUndoGap),
        ("output-not-waited", Fault::OutputNotWaited),
        ("store-unknown", Fault::StoreUnknown),
        ("old-t-newer-inputs", Fault::OldTNewerInputs),
        (
            "late-commit-without-rebuild",
            Fault::LateCommitWithoutRebuild,
        ),
        ("lag0-lagging-copy", Fault::Lag0LaggingCopy),
        ("torn-commit", Fault::TornCommit),
        ("event-time-rows", Fault::EventTimeRows),
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
