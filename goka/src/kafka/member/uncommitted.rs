//! Translates librdkafka's error codes into the reason why a group did not take a commit. Must not know how a worker
//! reacts.

use rdkafka::error::RDKafkaErrorCode;

use crate::{base::error::Error, engine::port::CommitError, kafka::native::request::Refused};

/// The reason why a group did not take a commit. `group` is the physical name of the group, and `changelog` that of its
/// changelog.
pub(crate) fn uncommitted(group: &str, changelog: Option<&str>, refused: &Refused) -> CommitError {
    use RDKafkaErrorCode::*;
    let doing = format!("commit offsets of group `{group}`");
    let denied = |what: &str| {
        let cure = format!("the broker denies access; grant the ACL `Read` on {what}");
        CommitError::Denied(Error::kafka(&*doing, cure))
    };
    let code = refused.code;
    match code {
        UnknownMemberId | FencedInstanceId | AssignmentLost | Fenced | Fatal
        | FencedMemberEpoch | UnreleasedInstanceId => {
            CommitError::NotMember(Error::kafka(doing, code))
        }
        GroupAuthorizationFailed => denied(&format!("group `{group}`")),
        TopicAuthorizationFailed => denied(&match &*refused.denied {
            [] => "each input of the group, its loop and its changelog".to_owned(),
            [topic] if Some(&**topic) == changelog => format!(
                "the changelog topic `{topic}`: the group commits an offset of its changelog together with those of its \
                 inputs"
            ),
            topics => format!("the topics `{}`", topics.join("`, `")),
        }),
        // During a rebalance, while brokers cannot be reached, and after an unexpected error, the worker keeps the
        // positions to commit them again. The membership lease ends the membership of a worker that cannot commit.
        _ => CommitError::Again(Error::kafka(doing, code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: Option<&str> = Some("clicks-state");

    #[test]
    fn a_right_that_is_missing_is_named_and_not_waited_for() {
        let denied = |topics: &[&str]| Refused {
            code: RDKafkaErrorCode::TopicAuthorizationFailed,
            denied: topics.iter().map(|&topic| topic.to_owned()).collect(),
        };
        for (refused, right) in [
            (
                RDKafkaErrorCode::GroupAuthorizationFailed.into(),
                "`Read` on group `clicks`",
            ),
            (
                denied(&[]),
                "`Read` on each input of the group, its loop and its changelog",
            ),
            (
                denied(&["clicks-state"]),
                "`Read` on the changelog topic `clicks-state`",
            ),
            (
                denied(&["a", "clicks-state"]),
                "`Read` on the topics `a`, `clicks-state`",
            ),
        ] {
            let CommitError::Denied(error) = uncommitted("clicks", CHANGELOG, &refused) else {
                panic!("{refused:?} is not a denial");
            };
            assert!(error.to_string().contains(right), "{error}");
        }
        let uncommitted =
            |code: RDKafkaErrorCode| uncommitted("clicks", CHANGELOG, &Refused::from(code));
        let again = uncommitted(RDKafkaErrorCode::RebalanceInProgress);
        assert!(matches!(again, CommitError::Again(_)));
        let gone = uncommitted(RDKafkaErrorCode::UnknownMemberId);
        assert!(matches!(gone, CommitError::NotMember(_)));
    }
}
