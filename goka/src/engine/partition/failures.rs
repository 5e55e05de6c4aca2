//! Counts the consecutive setbacks (returns to recovery) of a partition whose causes do not pass by themselves. Must
//! not know what the causes are.

/// The worker ends after this many consecutive failures of a partition.
const FAILURES_MAX: u32 = 8;

/// The failures since the last acknowledged interval.
#[derive(Default)]
pub(crate) struct Failures {
    count: u32,
    /// The reason of the first failure. Later reasons may be consequences of it.
    first: Option<Box<str>>,
}

impl Failures {
    /// Counts a failure. Returns `None` while there are fewer failures than the maximum. From then on, returns the
    /// maximum (the number of recoveries) and the reason.
    pub(crate) fn count(&mut self, reason: &str) -> Option<(u32, String)> {
        self.count += 1;
        let first = self.first.get_or_insert_with(|| reason.into());
        if self.count < FAILURES_MAX {
            return None;
        }
        let reason = match &**first == reason {
            true => reason.to_owned(),
            false => format!("{first}; most recently: {reason}"),
        };
        Some((FAILURES_MAX, reason))
    }

    /// Sets the count back to zero. To be called when an interval was acknowledged.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
