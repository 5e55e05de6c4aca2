//! What it means that a group did not take positions, or did not tell them. Must not know who asked, nor
//! what follows.

use rdkafka::error::RDKafkaErrorCode;

use crate::{base::error::Error, engine::port::CommitError};

/// `group`: its physical name.
pub(crate) fn uncommitted(group: &str, code: RDKafkaErrorCode) -> CommitError {
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
