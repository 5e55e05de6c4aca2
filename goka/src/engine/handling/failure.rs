//! What is said of a record that could not be handled, and of one that is not there.

use std::any::Any;

use tracing::{debug, warn};

use crate::{
    base::{
        config::OutOfRange,
        error::{BoxError, Error},
        excerpt,
    },
    engine::{
        partition::{By, Origin, Partition},
        port::Kafka,
        program::{Failure, Stage},
        worker::Core,
    },
};

impl Core {
    pub(crate) fn failed(&self, origin: Origin, key: Option<&[u8]>, failure: Failure) -> Error {
        Error::Record {
            group: self.spec.program.group(),
            topic: self.topic_of(origin).into(),
            partition: origin.partition,
            offset: origin.offset,
            key: key.map_or_else(|| "null".into(), |key| excerpt::key(key).into()),
            handler: self.handler_of(origin),
            doing: failure.doing,
            source: excerpt::cause(failure.source),
        }
    }

    pub(crate) fn handler_of(&self, origin: Origin) -> &'static str {
        match (origin.by, &self.visiting) {
            (By::Source(source), _) => self.edges[self.sources[source]].handler,
            (By::Visit(_), Some(visiting)) => visiting.name(),
            (By::Visit(_), None) => "a visitor that was given up",
        }
    }

    /// A part of what a record did has left, and the rest was refused: nothing of its interval may be
    /// committed, not even when the worker ends in good order, or the part would be done again and again.
    pub(crate) fn take_back(&mut self, kafka: &dyn Kafka, number: i32, error: &Error) {
        let reason = error.to_string();
        let dropped = match self.is_exactly_once() {
            true => self.abort(kafka, &reason),
            false => self.abandon(kafka, number, &reason),
        };
        if let Err(error) = dropped {
            debug!(partition = number, %error, "while a record was taken back");
        }
        // Also where the connection is of no use any more.
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.drop_uncommitted();
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

    /// The broker says that the next record of a source is not there. Whether that is so, and where the
    /// partition goes on, is found when it has recovered, see [`Core::in_range`], so that the group hears
    /// it before a record is handled.
    pub(crate) fn out_of_range(
        &mut self,
        kafka: &dyn Kafka,
        source: usize,
        number: i32,
    ) -> Result<(), Error> {
        let is_read = |p: &&mut Partition| p.is_running() && !p.held;
        let Some(partition) = self.partitions.get_mut(&number).filter(is_read) else {
            return Ok(());
        };
        partition.out_of_range.insert(source);
        let reason = "the next record of an input is no longer there";
        match self.is_exactly_once() {
            true => self.abort(kafka, reason),
            false => self.abandon(kafka, number, reason),
        }
    }

    /// Where a source goes on whose next record was not there.
    pub(crate) fn in_range(
        &self,
        kafka: &dyn Kafka,
        source: usize,
        number: i32,
        wanted: i64,
    ) -> Result<i64, Error> {
        let (first, end) = kafka.bounds(source, number)?;
        let offset = match self.spec.settings.out_of_range {
            _ if (first..=end).contains(&wanted) => return Ok(wanted),
            OutOfRange::Fail => return Err(self.no_such_offset(kafka, source, number, wanted)),
            OutOfRange::Earliest => first,
            OutOfRange::Latest => end,
        };
        warn!(
            group = self.spec.program.group(),
            topic = self.spec.topics[self.sources[source]],
            partition = number,
            wanted,
            first,
            end,
            offset,
            missing = (offset - wanted).max(0),
            "the next record is no longer there: going on elsewhere, as `out_of_range` says"
        );
        Ok(offset)
    }

    fn no_such_offset(&self, kafka: &dyn Kafka, source: usize, number: i32, wanted: i64) -> Error {
        let topic = &self.spec.topics[self.sources[source]];
        let there = match kafka.bounds(source, number) {
            Ok((first, end)) => format!("it holds {first} to {end}"),
            Err(error) => error.to_string(),
        };
        let group = self.spec.program.group();
        Error::Topic(format!(
            "group `{group}` wants offset {wanted} of `{topic}` partition {number}, which is not there ({there}): \
             records fell off retention before they were handled, or the topic was made anew. Choose where to go on: \
             `Config::out_of_range` (GOKA_OUT_OF_RANGE: `earliest`, `latest`), or reset the group's offsets for this \
             topic (kafka-consumer-groups --reset-offsets)"
        ))
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
        stage: Stage::Panic,
        doing: "run",
        source,
    }
}
