//! What happens to records that cannot be processed: [`OnError`] chooses a [`Policy`] for each stage that can fail.
//!
//! In the attribute `#[goka::processor]`, policies are written as `on_error = ...`. This module has them as constants,
//! for processors that are written by hand. [`DeadLetter`](crate::DeadLetter) reads what the policy `dead_letter`
//! wrote.

// Must not know how a policy is carried out.

use std::time::Duration;

/// Error policies of an edge: what happens to records that cannot be processed, by the stage that failed.
///
/// In an attribute, the policies are written `on_error = skip`, or
/// `on_error(decode = dead_letter, handler = retry(5, then = skip))`. In a processor that is written by hand, they are
/// the constant [`Consumes::ON_ERROR`](crate::graph::Consumes::ON_ERROR). Without policies, the processor
/// [fails](Self::FAIL).
///
/// ```
/// use goka::{OnError, Policy};
///
/// const EACH: OnError = OnError::FAIL
///     .decode(Policy::DEAD_LETTER)
///     .handler(Policy::retry(5).then(Policy::SKIP));
/// const ALL: OnError = OnError::all(Policy::retry(5).then(Policy::DEAD_LETTER));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnError {
    pub(crate) decode: Policy,
    pub(crate) handler: Policy,
    pub(crate) panic: Policy,
}

/// Error policy for a record that cannot be processed: fail, skip, dead-letter or retry.
///
/// Whatever the policy, goka discards everything that the handler did before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Maximum number of retries of a record.
    pub(crate) retries: u32,
    first_ms: u32,
    longest_ms: u32,
    pub(crate) last: Last,
}

/// What happens to the record after the last retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Fail,
    Skip,
    /// The logical name of a topic; `None` is the dead-letter topic of the group.
    DeadLetter(Option<&'static str>),
}

/// What happens next to a record that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The record is retried after this time.
    Retry(Duration),
    Last(Last),
}

impl OnError {
    /// The processor fails if any stage fails. The default.
    pub const FAIL: Self = Self::all(Policy::FAIL);

    /// One policy for all stages. A record that does not decode is not retried, because every retry would fail as well:
    /// the policy that follows the last retry applies immediately.
    pub const fn all(policy: Policy) -> Self {
        OnError {
            decode: Policy {
                retries: 0,
                ..policy
            },
            handler: policy,
            panic: policy,
        }
    }

    /// The policy for records whose key or value does not decode.
    ///
    /// # Panics
    /// If the policy is a retry.
    #[must_use]
    pub const fn decode(self, policy: Policy) -> Self {
        assert!(
            policy.retries == 0,
            "a record that does not decode cannot be retried: fail, skip, or write a dead letter"
        );
        OnError {
            decode: policy,
            ..self
        }
    }

    /// The policy for records whose handler returns an error, or writes a record that is too large.
    #[must_use]
    pub const fn handler(self, policy: Policy) -> Self {
        OnError {
            handler: policy,
            ..self
        }
    }

    /// The policy for records whose handler panics.
    #[must_use]
    pub const fn panic(self, policy: Policy) -> Self {
        OnError {
            panic: policy,
            ..self
        }
    }

    /// The policies of all three stages.
    pub(crate) const fn policies(&self) -> [Policy; 3] {
        [self.decode, self.handler, self.panic]
    }

    /// These policies, with `default` as the dead-letter topic wherever a dead-letter policy names no topic.
    pub(crate) fn named(mut self, default: &'static str) -> Self {
        for policy in [&mut self.decode, &mut self.handler, &mut self.panic] {
            if let Last::DeadLetter(topic) = &mut policy.last {
                topic.get_or_insert(default);
            }
        }
        self
    }
}

impl Policy {
    /// The processor stops with an error that names the record. No offset past the record is committed: goka reads the
    /// record again at the next start.
    pub const FAIL: Self = Self::at_once(Last::Fail);

    /// The record is skipped: goka logs a warning, counts the record, and continues.
    pub const SKIP: Self = Self::at_once(Last::Skip);

    /// The record is written unchanged to the topic `<group>-dead-letter`, with headers that say where the record came
    /// from and why it failed: see [`DeadLetter`](crate::DeadLetter).
    pub const DEAD_LETTER: Self = Self::at_once(Last::DeadLetter(None));

    /// The record is written to the topic with this logical name instead of `<group>-dead-letter`, and otherwise as
    /// with [`DEAD_LETTER`](Self::DEAD_LETTER).
    pub const fn dead_letter_to(topic: &'static str) -> Self {
        Self::at_once(Last::DeadLetter(Some(topic)))
    }

    /// The record is retried, up to `times` times.
    ///
    /// The partition of the record waits; the other partitions continue, and the worker stays a member of the group.
    /// The first retry comes after 100 ms, and the wait doubles each time up to 10 s; change this with
    /// [`backoff_ms`](Self::backoff_ms). After the last retry, the processor [fails](Self::FAIL), unless
    /// [`then`](Self::then) sets another policy.
    ///
    /// # Panics
    /// If `times` is 0.
    pub const fn retry(times: u32) -> Self {
        assert!(times > 0, "`retry` needs at least one retry");
        Policy {
            retries: times,
            first_ms: 100,
            longest_ms: 10_000,
            last: Last::Fail,
        }
    }

    /// Sets the back-off of the retries, in milliseconds: `first` is the wait before the first retry, `longest` the
    /// maximum wait. Each wait is twice as long as the previous wait, up to `longest`.
    ///
    /// # Panics
    /// If the policy is not a retry, or `first` is longer than `longest`.
    #[must_use]
    pub const fn backoff_ms(self, first: u32, longest: u32) -> Self {
        assert!(
            self.retries > 0,
            "`backoff_ms` needs a retry: call `Policy::retry` first"
        );
        assert!(
            first <= longest,
            "the first wait is longer than the longest wait"
        );
        Policy {
            first_ms: first,
            longest_ms: longest,
            ..self
        }
    }

    /// Sets the policy that applies after the last retry.
    ///
    /// # Panics
    /// If the policy is not a retry, or `last` is a retry.
    #[must_use]
    pub const fn then(self, last: Policy) -> Self {
        assert!(
            self.retries > 0,
            "`then` needs a retry: call `Policy::retry` first"
        );
        assert!(
            last.retries == 0,
            "after the last retry: fail, skip, or write a dead letter"
        );
        Policy {
            last: last.last,
            ..self
        }
    }

    const fn at_once(last: Last) -> Self {
        Policy {
            retries: 0,
            first_ms: 0,
            longest_ms: 0,
            last,
        }
    }

    /// What happens next to a record that has just failed, after `attempts` earlier failed attempts.
    pub(crate) fn verdict(&self, attempts: u32) -> Verdict {
        if attempts >= self.retries {
            return Verdict::Last(self.last);
        }
        let doubled = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        let wait = self.first_ms.saturating_mul(doubled).min(self.longest_ms);
        Verdict::Retry(Duration::from_millis(wait.into()))
    }
}

/// The dead-letter topics of these edges, without duplicates. The policies must have been [named](OnError::named).
pub(crate) fn dead_letters(edges: impl Iterator<Item = OnError>) -> Vec<&'static str> {
    let mut topics = Vec::new();
    for policy in edges.flat_map(|edge| edge.policies()) {
        if let Last::DeadLetter(Some(topic)) = policy.last
            && !topics.contains(&topic)
        {
            topics.push(topic);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_twice_as_long_each_time_up_to_the_longest() {
        let policy = Policy::retry(6).backoff_ms(100, 1_000).then(Policy::SKIP);
        let waits = (0..7).map(|attempts| policy.verdict(attempts));
        let ms = |ms| Verdict::Retry(Duration::from_millis(ms));
        let last = Verdict::Last(Last::Skip);
        let expected = [
            ms(100),
            ms(200),
            ms(400),
            ms(800),
            ms(1_000),
            ms(1_000),
            last,
        ];
        assert_eq!(waits.collect::<Vec<_>>(), expected);
        let often = Policy::retry(u32::MAX);
        assert_eq!(often.verdict(1_000_000), ms(10_000));
    }

    #[test]
    fn bytes_are_decoded_once() {
        let all = OnError::all(Policy::retry(5).then(Policy::DEAD_LETTER));
        assert_eq!(all.decode.verdict(0), Verdict::Last(Last::DeadLetter(None)));
        assert!(matches!(all.panic.verdict(0), Verdict::Retry(_)));
    }
}
