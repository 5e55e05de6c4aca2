//! What it means that a group did not take positions, or did not tell them. Must not know who asked, nor
//! what follows.

use std::{error, fmt};

use rdkafka::error::RDKafkaErrorCode;

use super::CommitError;
use crate::Error;

/// `group`: its physical name.
pub(super) fn uncommitted(group: &str, code: RDKafkaErrorCode) -> CommitError {
    use RDKafkaErrorCode::*;
    let doing = format!("commit offsets of group `{group}`");
    let denied = |what: &str| {
        let cure = format!("the broker denies it; grant the right Read on {what}");
        CommitError::Denied(Error::kafka(&*doing, cure))
    };
    match code {
        UnknownMemberId | FencedInstanceId | AssignmentLost | Fenced | Fatal
        | FencedMemberEpoch | UnreleasedInstanceId => {
            CommitError::NotMember(Error::kafka(doing, code))
        }
        GroupAuthorizationFailed => denied(&format!("group `{group}`")),
        TopicAuthorizationFailed => denied("each of its inputs, and on its loop"),
        // Rebalances, brokers that are away, and what nobody foresaw: the positions are kept, and
        // the lease ends a membership that cannot commit.
        _ => CommitError::Again(Error::kafka(doing, code)),
    }
}

/// Why the group does not tell what is committed, where it has answered: something stands in the way.
#[derive(Debug)]
pub(super) struct Unstable;

impl fmt::Display for Unstable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transaction that holds them is not decided")
    }
}

impl error::Error for Unstable {}

/// Whether [`Kafka::committed`](super::Kafka::committed) failed for that, and not for want of an answer.
pub(crate) fn is_unstable(error: &Error) -> bool {
    matches!(error, Error::Kafka { source, .. } if source.is::<Unstable>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_named_and_not_waited_for() {
        for (code, right) in [
            (
                RDKafkaErrorCode::GroupAuthorizationFailed,
                "Read on group `clicks`",
            ),
            (
                RDKafkaErrorCode::TopicAuthorizationFailed,
                "Read on each of its inputs",
            ),
        ] {
            let CommitError::Denied(error) = uncommitted("clicks", code) else {
                panic!("{code} is no denial");
            };
            assert!(error.to_string().contains(right), "{error}");
        }
        let again = uncommitted("clicks", RDKafkaErrorCode::RebalanceInProgress);
        assert!(matches!(again, CommitError::Again(_)));
        let gone = uncommitted("clicks", RDKafkaErrorCode::UnknownMemberId);
        assert!(matches!(gone, CommitError::NotMember(_)));
    }
}
