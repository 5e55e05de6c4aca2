//! How often in a row a partition went back to recovery for something that will not pass by itself.

/// So many are enough.
const FAILURES_MAX: u32 = 8;

/// Failed deliveries since the last interval that was acknowledged.
#[derive(Default)]
pub(crate) struct Failures {
    count: u32,
    /// The reason of the first one: later ones may be of records that were only given up with others.
    first: Option<Box<str>>,
}

impl Failures {
    /// Counts a failure. The answer, once there are too many: how many recoveries there were, and the reason.
    pub(crate) fn count(&mut self, reason: &str) -> Option<(u32, String)> {
        self.count += 1;
        let first = self.first.get_or_insert_with(|| reason.into());
        if self.count < FAILURES_MAX {
            return None;
        }
        let reason = match &**first == reason {
            true => reason.to_owned(),
            false => format!("{first}; at last: {reason}"),
        };
        Some((FAILURES_MAX, reason))
    }

    /// An interval was acknowledged.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
