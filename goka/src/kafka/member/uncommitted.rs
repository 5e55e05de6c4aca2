//! Translates librdkafka's error code into the reason why a group did not take a commit. Must not know how a worker
//! reacts.

use rdkafka::error::RDKafkaErrorCode;

use crate::{base::error::Error, engine::port::CommitError};

/// The reason why a group did not take a commit that failed with this code. `group` is the group's physical name.
pub(crate) fn uncommitted(group: &str, code: RDKafkaErrorCode) -> CommitError {
    use RDKafkaErrorCode::*;
    let doing = format!("commit offsets of group `{group}`");
    let denied = |what: &str| {
        let cure = format!("the broker denies access; grant the ACL `Read` on {what}");
        CommitError::Denied(Error::kafka(&*doing, cure))
    };
    match code {
        UnknownMemberId | FencedInstanceId | AssignmentLost | Fenced | Fatal
        | FencedMemberEpoch | UnreleasedInstanceId => {
            CommitError::NotMember(Error::kafka(doing, code))
        }
        GroupAuthorizationFailed => denied(&format!("group `{group}`")),
        TopicAuthorizationFailed => denied("each input of the group, and on its loop"),
        // During a rebalance, while brokers cannot be reached, and after an unexpected error, the worker keeps the
        // positions to commit them again. The membership lease ends the membership of a worker that cannot commit.
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
                "`Read` on group `clicks`",
            ),
            (
                RDKafkaErrorCode::TopicAuthorizationFailed,
                "`Read` on each input of the group",
            ),
        ] {
            let CommitError::Denied(error) = uncommitted("clicks", code) else {
                panic!("{code} is not a denial");
            };
            assert!(error.to_string().contains(right), "{error}");
        }
        let again = uncommitted("clicks", RDKafkaErrorCode::RebalanceInProgress);
        assert!(matches!(again, CommitError::Again(_)));
        let gone = uncommitted("clicks", RDKafkaErrorCode::UnknownMemberId);
        assert!(matches!(gone, CommitError::NotMember(_)));
    }
}
