//! Crash points: a real process kills itself at a chosen step of the commit protocol, so that the crash suite does not
//! depend on chance to hit that moment. Crash points serve tests of goka itself, and exist only with the feature
//! `faults`.
//!
//! With `GOKA_CRASH_AT=delivered:3`, the process sends itself SIGKILL when its workers, counted together, reach the
//! step `delivered` for the third time; without a number, when any worker first reaches the step. At that moment,
//! nothing that follows the step has happened.
//!
//! | the process dies | `GOKA_CRASH_AT` | at-least-once | exactly-once |
//! |---|---|---|---|
//! | after produce | `handled` | the effects of a record are in the producer | the same |
//! | after flush | `delivered` | an interval is acknowledged | the same |
//! | after offsets were sent | `offsets-sent` | never | offsets are in the transaction |
//! | after Kafka's commit | `committed` | offsets committed, before `stored` | transaction committed, before `stored` |
//! | after LMDB's commit | `stored` | all is done | the same |
//! | in recovery | `replayed` | a row was read, and is not in the local copy | the same |
//! | in recovery | `replaying` | rows are in the local copy, the partition is not claimed yet | the same |
//! | in a revoke | `revoking` | partitions are finished, the group is not answered | the same |
//! | after a revoke | `released` | the group was answered | the same |

use super::Step;
use crate::base::error::Error;

#[cfg(feature = "faults")]
pub(crate) use planted::{pass, prepare};

/// Does nothing: without the feature `faults`, there is no crash point.
#[cfg(not(feature = "faults"))]
pub(crate) const fn pass(_: Step) {}

/// Does nothing: without the feature `faults`, there is no crash point to read.
#[cfg(not(feature = "faults"))]
pub(crate) const fn prepare() -> Result<(), Error> {
    Ok(())
}

#[cfg(feature = "faults")]
mod planted {
    use std::{
        env,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::{Error, Step};

    const NAMED: [(&str, Step); 9] = [
        ("handled", Step::Handled),
        ("delivered", Step::Delivered),
        ("offsets-sent", Step::OffsetsSent),
        ("committed", Step::Committed),
        ("stored", Step::Stored),
        ("replayed", Step::Replayed),
        ("replaying", Step::Replaying),
        ("revoking", Step::Revoking),
        ("released", Step::Released),
    ];

    struct CrashPoint {
        step: Step,
        /// How many times the step is still to be reached, including the time at which the process dies.
        left: AtomicU64,
    }

    /// The crash point of this process. Unset until [`prepare`] has read the environment.
    static POINT: OnceLock<Option<CrashPoint>> = OnceLock::new();

    /// Reads the crash point from the environment variable `GOKA_CRASH_AT`.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown step.
    pub(crate) fn prepare() -> Result<(), Error> {
        let point = match env::var_os("GOKA_CRASH_AT") {
            None => None,
            Some(wanted) => Some(parse(&wanted.to_string_lossy())?),
        };
        // An error means that another app of this process has already set the crash point, from the same environment.
        let _ = POINT.set(point);
        Ok(())
    }

    fn parse(wanted: &str) -> Result<CrashPoint, Error> {
        let (name, times) = wanted.split_once(':').unwrap_or((wanted, "1"));
        let step = NAMED.iter().find(|(named, _)| *named == name);
        let times: Option<u64> = times.parse().ok().filter(|times| *times > 0);
        let (Some((_, step)), Some(times)) = (step, times) else {
            let names = NAMED.map(|(name, _)| name).join("`, `");
            return Err(Error::Config(format!(
                "the environment variable GOKA_CRASH_AT is `{wanted}`, but must be one of `{names}`, optionally followed by \
                 `:n` for the n-th time"
            )));
        };
        let left = AtomicU64::new(times);
        Ok(CrashPoint { step: *step, left })
    }

    /// Called when a worker has reached a step: counts the step, and kills the process if this is the crash point.
    pub(crate) fn pass(step: Step) {
        let point = POINT.get().and_then(Option::as_ref);
        if let Some(point) = point.filter(|point| point.step == step)
            && point.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // SAFETY: the call takes two numbers and no memory.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_step_has_a_name_and_may_have_a_number() {
            let parsed = |text| parse(text).map(|p| (p.step, p.left.into_inner())).ok();
            assert_eq!(parsed("handled"), Some((Step::Handled, 1)));
            assert_eq!(parsed("offsets-sent:12"), Some((Step::OffsetsSent, 12)));
            for wrong in ["", "nowhere", "handled:0", "handled:", "handled:often"] {
                assert_eq!(parsed(wrong), None, "{wrong}");
            }
        }
    }
}
