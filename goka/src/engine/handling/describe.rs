//! Errors that name a handler and its record. Must not know which policy applies.

use std::time::Duration;

use super::{conclude::topic_of, state::Handling};
use crate::{
    base::{error::Error, excerpt},
    engine::{
        env::Env,
        partition::origin::{By, Origin},
        program::Failure,
    },
};

impl Handling {
    /// The error that ends a worker because a record failed.
    pub(super) fn failed(
        &self,
        env: &Env<'_>,
        origin: Origin,
        key: Option<&[u8]>,
        failure: Failure,
    ) -> Error {
        Error::Record {
            group: env.group(),
            topic: topic_of(env, origin).into(),
            partition: origin.partition,
            offset: origin.offset,
            key: key.map_or_else(|| "null".into(), |key| excerpt::key(key).into()),
            handler: self.handler_of(env, origin),
            doing: failure.doing,
            source: excerpt::cause(failure.source),
        }
    }

    /// The name of the handler or visitor that was called.
    pub(super) fn handler_of(&self, env: &Env<'_>, origin: Origin) -> &'static str {
        match (origin.by, &self.visiting) {
            (By::Source(source), _) => env.edges.get(env.edges.of_source(source)).handler,
            (By::Visit(_), Some(visiting)) => visiting.name(),
            (By::Visit(_), None) => "a cancelled visitor",
        }
    }

    /// The error text for a handler that kept the thread for `took`, if this is too long. `None`: `took` is within the
    /// limit.
    pub(crate) fn too_long(&self, env: &Env<'_>, origin: Origin, took: Duration) -> Option<String> {
        if self.rules.handler_max.is_none_or(|max| took <= max) {
            return None;
        }
        Some(format!(
            "handler `{}` took {} ms: topic `{}`, partition {}, offset {}; that is more than half of \
             `transaction.timeout.ms`, within which the transaction must be committed: raise `transaction.timeout.ms` \
             (`Config::set_producer`), or make the handler an `async fn` that waits",
            self.handler_of(env, origin),
            took.as_millis(),
            topic_of(env, origin),
            origin.partition,
            origin.offset
        ))
    }
}
