//! What is said of a record that could not be handled, and of one that is not there.

use std::any::Any;

use crate::{
    BoxError, Error,
    engine::{
        partition::{By, Origin},
        program::Failure,
        worker::Core,
    },
    kafka::Kafka,
};

impl Core {
    pub(crate) fn failed(&self, origin: Origin, key: Option<&[u8]>, failure: Failure) -> Error {
        Error::Record {
            group: self.spec.program.group(),
            topic: self.topic_of(origin).into(),
            partition: origin.partition,
            offset: origin.offset,
            key: key.map_or_else(|| "null".into(), |key| readable(key).into()),
            handler: self.handler_of(origin),
            doing: failure.doing,
            source: failure.source,
        }
    }

    fn handler_of(&self, origin: Origin) -> &'static str {
        match (origin.by, &self.visiting) {
            (By::Source(source), _) => self.edges[self.sources[source]].handler,
            (By::Visit(_), Some(visiting)) => visiting.name(),
            (By::Visit(_), None) => "a visitor that was given up",
        }
    }

    /// The physical topic of a record, or the table's for a visit.
    pub(crate) fn topic_of(&self, origin: Origin) -> &str {
        let edge = match origin.by {
            By::Source(source) => Some(self.sources[source]),
            By::Visit(_) => self.table_edge,
        };
        edge.map_or("", |edge| &self.spec.topics[edge])
    }

    pub(crate) fn out_of_range(&self, kafka: &dyn Kafka, source: usize, partition: i32) -> Error {
        let topic = &self.spec.topics[self.sources[source]];
        let wanted = self
            .partitions
            .get(&partition)
            .and_then(|p| p.fetched.get(source).copied());
        let wanted = wanted.map_or_else(
            || "the committed offset".to_owned(),
            |o| format!("offset {o}"),
        );
        let there = match kafka.bounds(source, partition) {
            Ok((first, end)) => format!("it holds {first} to {end}"),
            Err(error) => error.to_string(),
        };
        let group = self.spec.program.group();
        Error::Topic(format!(
            "group `{group}` wants {wanted} of `{topic}` partition {partition}, which is not there ({there}): \
             records fell off retention before they were handled, or the topic was made anew. Reset the group's \
             offsets for this topic (kafka-consumer-groups --reset-offsets) to choose where to go on"
        ))
    }
}

/// A key for people: text where it is text.
fn readable(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let source = BoxError::from(format!(
        "it panicked: {}",
        text.as_deref().unwrap_or("(no text)")
    ));
    Failure {
        doing: "run",
        source,
    }
}
