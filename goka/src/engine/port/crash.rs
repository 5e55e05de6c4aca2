//! Crash points: a real process kills itself at a step of the commit protocol, so that a crash suite
//! need not hit the moment by chance. For tests of goka itself: without the feature `faults` there is
//! none of it.
//!
//! `GOKA_CRASH_AT=delivered:3` sends this process SIGKILL when any of its workers comes by the step
//! for the third time; without a number, for the first time. Nothing behind the step has happened.
//!
//! | the process dies | `GOKA_CRASH_AT` | at-least-once | exactly-once |
//! |---|---|---|---|
//! | after produce | `handled` | a record's effects went to the producer | the same |
//! | after flush | `delivered` | all reports of an interval are in | the same |
//! | after offsets were sent | `offsets-sent` | never | they are in the transaction |
//! | after Kafka's commit, before LMDB's | `committed` | it has them: behind `stored` | all is committed there |
//! | after LMDB's commit | `stored` | the group does not know it yet | all is done |
//! | in recovery | `replayed` | a row was read, and is not in the copy | the same |
//! | in recovery | `replaying` | rows are in the copy, the partition does not run yet | the same |
//! | in revoke | `revoking` | all is finished, and the group not answered | the same |
//! | after revoke | `released` | the group was answered | the same |

use super::Step;
use crate::base::error::Error;

#[cfg(feature = "faults")]
pub(crate) use planted::{pass, prepare};

/// No process dies here.
#[cfg(not(feature = "faults"))]
pub(crate) const fn pass(_: Step) {}

/// Nothing has to be.
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
        /// How often it is still passed, this time included.
        left: AtomicU64,
    }

    /// Of this process; not set before it was asked for.
    static POINT: OnceLock<Option<CrashPoint>> = OnceLock::new();

    /// Takes the crash point from the environment.
    ///
    /// # Errors
    /// [`Error::Config`] for a step that there is not.
    pub(crate) fn prepare() -> Result<(), Error> {
        let point = match env::var_os("GOKA_CRASH_AT") {
            None => None,
            Some(wanted) => Some(parse(&wanted.to_string_lossy())?),
        };
        // Another app of this process has done so, from the same environment.
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
                "the environment variable GOKA_CRASH_AT is `{wanted}`, but must be one of `{names}`, with `:n` behind it \
                 for the n-th time"
            )));
        };
        let left = AtomicU64::new(times);
        Ok(CrashPoint { step: *step, left })
    }

    /// The process comes by a step, and may end there.
    pub(crate) fn pass(step: Step) {
        let point = POINT.get().and_then(Option::as_ref);
        if let Some(point) = point.filter(|point| point.step == step)
            && point.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // SAFETY: it takes two numbers, and does not come back.
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
