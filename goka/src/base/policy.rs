//! What happens to records that cannot be processed: [`OnError`] chooses a [`Policy`] for each stage that can fail.
//!
//! The attribute `#[goka::processor]` writes them as `on_error = ...`; here they are constants, for processors that are
//! written by hand. [`DeadLetter`](crate::DeadLetter) reads what the policy `dead_letter` wrote.

// Must not know how a policy is carried out.

use std::time::Duration;

/// What is done about the records of one edge that could not be handled, by what went wrong.
///
/// [`Consumes::ON_ERROR`](crate::graph::Consumes::ON_ERROR) of an edge; the attribute writes it
/// `on_error = skip`, or `on_error(decode = dead_letter, handler = retry(5, then = skip))`.
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

/// What is done about a record that could not be handled. Whatever its handler did before it failed
/// is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So often it is tried again.
    pub(crate) retries: u32,
    first_ms: u32,
    longest_ms: u32,
    pub(crate) last: Last,
}

/// What is done in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Fail,
    Skip,
    /// Logical name of a topic; `None` is that of the group.
    DeadLetter(Option<&'static str>),
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Again, after this time.
    Retry(Duration),
    Last(Last),
}

impl OnError {
    /// Whatever goes wrong ends the processor: the default.
    pub const FAIL: Self = Self::all(Policy::FAIL);

    /// The same for all that can go wrong. Bytes that do not decode are not tried again: they decode
    /// no better the second time.
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

    /// If the key or the value does not decode.
    ///
    /// # Panics
    /// If that is to be tried again.
    #[must_use]
    pub const fn decode(self, policy: Policy) -> Self {
        assert!(
            policy.retries == 0,
            "bytes decode no better the second time: fail, skip, or write a dead letter"
        );
        OnError {
            decode: policy,
            ..self
        }
    }

    /// If the handler returns an error, or wants to write a record that is too large.
    #[must_use]
    pub const fn handler(self, policy: Policy) -> Self {
        OnError {
            handler: policy,
            ..self
        }
    }

    /// If the handler panics.
    #[must_use]
    pub const fn panic(self, policy: Policy) -> Self {
        OnError {
            panic: policy,
            ..self
        }
    }

    /// All three.
    pub(crate) const fn policies(&self) -> [Policy; 3] {
        [self.decode, self.handler, self.panic]
    }

    /// With this name for the dead-letter topic of the group.
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
    /// The processor ends with an error that names the record. Nothing is committed past it, so that
    /// it is read again at the next start.
    pub const FAIL: Self = Self::at_once(Last::Fail);

    /// The record is passed over: logged as a warning, and counted.
    pub const SKIP: Self = Self::at_once(Last::Skip);

    /// The record is written to the topic `<group>-dead-letter`, as it came, with headers that say
    /// where it is from and what went wrong: see [`DeadLetter`](crate::DeadLetter).
    pub const DEAD_LETTER: Self = Self::at_once(Last::DeadLetter(None));

    /// The same, to a topic of this (logical) name.
    pub const fn dead_letter_to(topic: &'static str) -> Self {
        Self::at_once(Last::DeadLetter(Some(topic)))
    }

    /// The record is handled again, up to so many times. Its partition waits meanwhile; others go
    /// on, and the group keeps this member. The first time comes after 100 ms, and each takes twice
    /// as long, up to 10 s; [`backoff_ms`](Self::backoff_ms) says otherwise. Then it
    /// [fails](Self::FAIL), unless [`then`](Self::then) says otherwise.
    ///
    /// # Panics
    /// If that is no time.
    pub const fn retry(times: u32) -> Self {
        assert!(times > 0, "`retry` needs to know how often: at least once");
        Policy {
            retries: times,
            first_ms: 100,
            longest_ms: 10_000,
            last: Last::Fail,
        }
    }

    /// How long a retry waits, in milliseconds: the first, and the longest; each waits twice as long
    /// as the one before.
    ///
    /// # Panics
    /// If this is no retry, or the first waits longer than the longest.
    #[must_use]
    pub const fn backoff_ms(self, first: u32, longest: u32) -> Self {
        assert!(self.retries > 0, "a back-off belongs to a retry");
        assert!(
            first <= longest,
            "the first retry waits longer than the longest"
        );
        Policy {
            first_ms: first,
            longest_ms: longest,
            ..self
        }
    }

    /// What is done after the last retry.
    ///
    /// # Panics
    /// If this is no retry, or `last` is one.
    #[must_use]
    pub const fn then(self, last: Policy) -> Self {
        assert!(self.retries > 0, "something comes after a retry only");
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

    /// What is done with a record that has failed, after so many attempts before.
    pub(crate) fn verdict(&self, attempts: u32) -> Verdict {
        if attempts >= self.retries {
            return Verdict::Last(self.last);
        }
        let doubled = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        let wait = self.first_ms.saturating_mul(doubled).min(self.longest_ms);
        Verdict::Retry(Duration::from_millis(wait.into()))
    }
}

/// The topics that dead letters of these edges go to, once each. Every topic is
/// [named](OnError::named).
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
