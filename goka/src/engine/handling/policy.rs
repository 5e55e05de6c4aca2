//! What is done with a record that could not be handled: tried again, passed over, or written to a
//! dead-letter topic. In the end it is handled as any other is: what was done instead of it goes the
//! way of a handler's effects, so that both guarantees hold for it. Must not know types.

use std::{mem, time::Duration};

use tracing::warn;

use crate::{
    base::{
        dead_letter::Reason,
        error::{BoxError, Error},
        excerpt,
        kind::Kind,
        policy::{Last, OnError, Policy, Verdict},
        record::{Meta, NO_HEADERS, RECORD_OVERHEAD, Record, wire_size},
    },
    engine::{
        effects::{Effects, Row},
        handling::deferred::Held,
        partition::{By, Origin},
        port::{Kafka, fault::Fault},
        program::{EdgeInfo, Failure, OwnedRecord, Stage},
        worker::Core,
    },
};

/// A record that is to be handled again. What is behind it in its partition waits.
pub(crate) struct Trouble {
    origin: Origin,
    /// Its edge is that of the graph.
    record: OwnedRecord,
    /// When.
    at: Duration,
}

impl Core {
    /// What a handler has done takes effect, or is dropped, and the policy of its edge says what
    /// happens instead. The buffer comes back.
    pub(crate) fn conclude(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        record: &Record<'_>,
        effects: Effects,
        outcome: Result<(), Failure>,
    ) -> Result<Effects, Error> {
        let takes = |()| {
            self.is_there(kafka, &effects)
                .and_then(|()| self.fits(record.key, &effects))
        };
        match outcome.and_then(takes) {
            Ok(()) => self.take_effect(kafka, origin, record, effects),
            Err(failure) => self.judge(kafka, origin, record, effects, failure),
        }
    }

    fn policy(&self, origin: Origin, stage: Stage) -> Policy {
        let on_error = match (origin.by, &self.visiting) {
            (By::Source(source), _) => self.edges[self.sources[source]].on_error,
            (By::Visit(_), Some(visiting)) => visiting.on_error(),
            (By::Visit(_), None) => OnError::FAIL,
        };
        match stage {
            Stage::Decode => on_error.decode,
            Stage::Handler => on_error.handler,
            Stage::Panic => on_error.panic,
            Stage::Broken => Policy::FAIL,
        }
    }

    fn judge(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        record: &Record<'_>,
        mut effects: Effects,
        failure: Failure,
    ) -> Result<Effects, Error> {
        if self.spec.settings.fault.is(Fault::KeepFailed) {
            self.apply(kafka, origin, record.key, &effects)?;
        }
        let policy = self.policy(origin, failure.stage);
        match policy.verdict(origin.attempts) {
            Verdict::Last(Last::Fail) => return Err(self.failed(origin, record.key, failure)),
            Verdict::Retry(wait) => {
                self.log(
                    origin,
                    &failure,
                    "a record could not be handled: it is tried again",
                );
                self.try_later(origin, OwnedRecord::of(record), wait);
                self.spec.status.retried();
                return Ok(effects);
            }
            Verdict::Last(Last::Skip) => {
                self.log(
                    origin,
                    &failure,
                    "skipped a record that could not be handled",
                );
                effects.clear();
                self.spec.status.skipped();
            }
            Verdict::Last(Last::DeadLetter(topic)) => {
                let topic = topic.unwrap_or_default();
                effects.clear();
                self.write_dead_letter(kafka, origin, record, &mut effects, &failure, topic)?;
                self.log(
                    origin,
                    &failure,
                    "wrote a dead letter of a record that could not be handled",
                );
                self.spec.status.set_aside();
            }
        }
        self.take_effect(kafka, origin, record, effects)
    }

    fn log(&self, origin: Origin, failure: &Failure, what: &str) {
        warn!(
            group = self.spec.program.group(),
            topic = self.topic_of(origin),
            partition = origin.partition,
            offset = origin.offset,
            handler = self.handler_of(origin),
            stage = failure.stage.name(),
            attempts = origin.attempts + 1,
            error = cause(failure),
            "{what}"
        );
    }

    fn write_dead_letter(
        &self,
        kafka: &dyn Kafka,
        origin: Origin,
        record: &Record<'_>,
        effects: &mut Effects,
        failure: &Failure,
        topic: &str,
    ) -> Result<(), Error> {
        let is_it = |edge: &EdgeInfo| edge.kind == Kind::DeadLetter && edge.topic == topic;
        let Some(edge) = self.edges.iter().position(is_it) else {
            return Err(self.cannot_set_aside(origin, record, "the graph lacks its topic".into()));
        };
        let reason = Reason {
            topic: self.topic_of(origin),
            group: self.spec.program.group(),
            handler: self.handler_of(origin),
            stage: failure.stage.name(),
            error: cause(failure),
        };
        let headers = reason.headers(record);
        let size = wire_size(record.key, record.value, &headers);
        if size > self.record_max {
            let why = too_large(size, self.record_max, &self.spec.topics[edge]);
            return Err(self.cannot_set_aside(origin, record, why));
        }
        let mut copy = |bytes: Option<&[u8]>| {
            let copied = bytes.map(|bytes| {
                effects.encode(|out| {
                    out.extend_from_slice(bytes);
                    Ok::<(), Error>(())
                })
            });
            copied.transpose()
        };
        let (key, value) = (copy(record.key)?, copy(record.value)?);
        // It is as old as its failure: an old record could be beyond the topic's retention.
        let meta = Meta {
            headers,
            partition: Some(record.partition % kafka.partitions(edge).max(1)),
            timestamp: Some(kafka.wall_ms()),
        };
        effects.emit(edge, key, value, meta);
        Ok(())
    }

    fn cannot_set_aside(&self, origin: Origin, record: &Record<'_>, source: BoxError) -> Error {
        let failure = Failure {
            stage: Stage::Broken,
            doing: "write a dead letter of its record",
            source,
        };
        self.failed(origin, record.key, failure)
    }

    /// A handler may name a partition that the topic does not have. That is known before any of its
    /// effects has left, so that it is the handler's error.
    fn is_there(&self, kafka: &dyn Kafka, effects: &Effects) -> Result<(), Failure> {
        for emit in effects.emits() {
            let Some(partition) = emit.partition else {
                continue;
            };
            let count = kafka.partitions(emit.edge);
            if !(0..count).contains(&partition) {
                return Err(Failure {
                    stage: Stage::Handler,
                    doing: "write what it wants to",
                    source: no_partition(partition, count, &self.spec.topics[emit.edge]),
                });
            }
        }
        Ok(())
    }

    /// The same for a record that is larger than the producer takes.
    fn fits(&self, key: Option<&[u8]>, effects: &Effects) -> Result<(), Failure> {
        let all = effects.bytes_written() + key.map_or(0, <[u8]>::len);
        if all + RECORD_OVERHEAD <= self.record_max {
            return Ok(());
        }
        let row = match effects.row() {
            Row::Put(range) => {
                let size = wire_size(key, Some(effects.bytes(range)), &NO_HEADERS);
                self.table_edge.map(|table| (size, table))
            }
            Row::Untouched | Row::Delete => None,
        };
        let emits = effects.emits().iter().map(|emit| {
            let bytes = |range: &Option<_>| range.as_ref().map(|range| effects.bytes(range));
            let size = wire_size(bytes(&emit.key), bytes(&emit.value), &emit.headers);
            (size, emit.edge)
        });
        match row
            .into_iter()
            .chain(emits)
            .find(|(size, _)| *size > self.record_max)
        {
            None => Ok(()),
            Some((size, edge)) => Err(Failure {
                stage: Stage::Handler,
                doing: "write what it wants to",
                source: too_large(size, self.record_max, &self.spec.topics[edge]),
            }),
        }
    }

    fn try_later(&mut self, mut origin: Origin, record: OwnedRecord, wait: Duration) {
        origin.attempts += 1;
        let at = self.now + wait;
        if let Some(partition) = self.partitions.get_mut(&origin.partition) {
            partition.trouble = Some(Trouble { origin, record, at });
        }
    }

    /// Handles a record again, if it is time; whether it was.
    pub(crate) fn try_again(&mut self, kafka: &dyn Kafka, number: i32) -> Result<bool, Error> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(false);
        };
        let Some(Trouble { origin, record, .. }) =
            partition.trouble.take_if(|trouble| trouble.at <= now)
        else {
            return Ok(false);
        };
        let visit = match (origin.by, &self.visiting) {
            (By::Source(_), _) => None,
            (By::Visit(id), Some(visiting)) if visiting.is(id) => Some(visiting.visit()),
            // The visit was given up, and its rows with it.
            (By::Visit(_), _) => return Ok(true),
        };
        self.call(kafka, origin, record.as_record(), visit.as_deref())?;
        Ok(true)
    }

    /// The oldest record that is deferred has failed. Nothing of it has taken effect, nor of what is
    /// behind it, which may have seen what it wrote: all that is dropped, and read again.
    pub(crate) fn deferred_failed(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        failure: Failure,
    ) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let Some(Held { cause, record, .. }) = partition.deferrals.pop() else {
            return Ok(());
        };
        let (origin, key) = (cause.origin, cause.key.as_deref());
        let (Some(record), By::Source(source)) = (record, origin.by) else {
            return Err(self.failed(origin, key, failure));
        };
        if !self.make_room(kafka, number)? {
            return Ok(());
        }
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.go_back(source, origin.offset);
            kafka.unassign(number)?;
            kafka.assign(number, &partition.fetched)?;
        }
        let effects = mem::take(&mut self.effects);
        self.effects = self.judge(kafka, origin, &record.as_record(), effects, failure)?;
        Ok(())
    }

    /// Whether a record that fails may be needed after its handler has returned.
    pub(crate) fn keeps_deferred(&self, origin: Origin) -> bool {
        matches!(origin.by, By::Source(_))
            && self.policy(origin, Stage::Handler).verdict(origin.attempts)
                != Verdict::Last(Last::Fail)
    }
}

impl Stage {
    /// In the log and in the headers of a dead letter.
    fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Handler | Stage::Broken => "handler",
            Stage::Panic => "panic",
        }
    }
}

/// What went wrong, with all that it was caused by.
fn cause(failure: &Failure) -> String {
    let mut text = format!("cannot {}: {}", failure.doing, failure.source);
    let mut next = failure.source.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    excerpt::text(text)
}

fn no_partition(partition: i32, count: i32, topic: &str) -> BoxError {
    let last = count - 1;
    BoxError::from(format!(
        "there is no partition {partition} of topic `{topic}`, which has {count}: 0 to {last}. Name one of these by \
         `Meta::to_partition`, or none, and the key chooses; partitions that were added to an output count once the \
         processor is started again"
    ))
}

fn too_large(size: usize, max: usize, topic: &str) -> BoxError {
    BoxError::from(format!(
        "the record for topic `{topic}` has {size} bytes, more than `message.max.bytes` allows ({max}): raise it \
         (`Config::set_producer`), and `max.message.bytes` of the topic with it, or write less"
    ))
}
