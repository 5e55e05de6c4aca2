//! Concludes the call of a handler: applies the effects, or does what the error policy of the edge says (fail, retry
//! the record, skip the record, or write a dead letter). A dead letter is applied as an effect of the record, so that
//! both guarantees hold for the dead letter too. Must not know types.

use std::time::Duration;

use tracing::warn;

use super::state::Handling;
use crate::{
    base::{
        dead_letter::Reason,
        error::{BoxError, Error},
        excerpt,
        kind::Kind,
        policy::{Last, OnError, Policy, Verdict},
        record::{Meta, NO_HEADERS, OwnedRecord, RECORD_OVERHEAD, Record, wire_size},
    },
    engine::{
        effects::{Effects, Row},
        env::Env,
        halt::Halt,
        partition::{
            Partitions, Trouble,
            origin::{By, Origin},
        },
        port::fault::Fault,
        program::{EdgeInfo, Failure, Stage},
    },
};

impl Handling {
    /// Concludes a call that left its effects in the buffer: applies the effects, or does what the error policy says.
    pub(crate) fn conclude(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        (origin, record): (Origin, &Record<'_>),
        outcome: Result<(), Failure>,
    ) -> Result<(), Halt> {
        let effects = std::mem::take(&mut self.effects);
        self.effects = self.conclude_with(env, partitions, (origin, record), effects, outcome)?;
        Ok(())
    }

    /// Concludes a call that had these effects. Returns a buffer for the next effects.
    pub(super) fn conclude_with(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        (origin, record): (Origin, &Record<'_>),
        effects: Effects,
        outcome: Result<(), Failure>,
    ) -> Result<Effects, Halt> {
        let checked = outcome
            .and_then(|()| has_partitions(env, &effects))
            .and_then(|()| self.fits(env, record.key, &effects));
        match checked {
            Ok(()) => self.take_effect(env, partitions, (origin, record), effects),
            Err(failure) => self.judge(env, partitions, (origin, record), effects, failure),
        }
    }

    /// The error policy of the edge or visitor that applies to a failure at this stage.
    pub(super) fn policy(&self, env: &Env<'_>, origin: Origin, stage: Stage) -> Policy {
        let on_error = match (origin.by, &self.visiting) {
            (By::Source(source), _) => env.edges.get(env.edges.of_source(source)).on_error,
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

    /// Does what the error policy says about a failed record. Returns a buffer for the next effects.
    pub(super) fn judge(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        (origin, record): (Origin, &Record<'_>),
        mut effects: Effects,
        failure: Failure,
    ) -> Result<Effects, Halt> {
        if env.spec.settings.fault.is(Fault::KeepFailed) {
            self.apply(env, partitions, origin, record.key, &effects)?;
        }
        let policy = self.policy(env, origin, failure.stage);
        let status = &env.spec.status;
        match policy.verdict(origin.attempts) {
            Verdict::Last(Last::Fail) => {
                return Err(self.failed(env, origin, record.key, failure).into());
            }
            Verdict::Retry(wait) => {
                self.log(env, origin, &failure, "record failed; retrying");
                retry_later(env, partitions, origin, OwnedRecord::of(record), wait);
                status.retried();
                return Ok(effects);
            }
            Verdict::Last(Last::Skip) => {
                self.log(env, origin, &failure, "record failed; skipped");
                effects.clear();
                status.skipped();
            }
            Verdict::Last(Last::DeadLetter(topic)) => {
                let topic = topic.unwrap_or_default();
                effects.clear();
                self.write_dead_letter(env, origin, record, &mut effects, &failure, topic)?;
                self.log(env, origin, &failure, "record failed; dead letter written");
                status.set_aside();
            }
        }
        self.take_effect(env, partitions, (origin, record), effects)
    }

    fn log(&self, env: &Env<'_>, origin: Origin, failure: &Failure, what: &str) {
        warn!(
            group = env.group(),
            topic = topic_of(env, origin),
            partition = origin.partition,
            offset = origin.offset,
            handler = self.handler_of(env, origin),
            stage = failure.stage.name(),
            attempts = origin.attempts + 1,
            error = cause(failure),
            "{what}"
        );
    }

    fn write_dead_letter(
        &self,
        env: &Env<'_>,
        origin: Origin,
        record: &Record<'_>,
        effects: &mut Effects,
        failure: &Failure,
        topic: &str,
    ) -> Result<(), Error> {
        let cannot = |source: BoxError| {
            let failure = Failure {
                stage: Stage::Broken,
                doing: "write the dead letter of the record",
                source,
            };
            self.failed(env, origin, record.key, failure)
        };
        let is_it = |edge: &EdgeInfo| edge.kind == Kind::DeadLetter && edge.topic == topic;
        let Some((edge, _)) = env.edges.iter().find(|(_, edge)| is_it(edge)) else {
            return Err(cannot(
                "the graph has no edge for the dead-letter topic".into(),
            ));
        };
        let reason = Reason {
            topic: topic_of(env, origin),
            group: env.group(),
            handler: self.handler_of(env, origin),
            stage: failure.stage.name(),
            error: cause(failure),
        };
        let headers = reason.headers(record);
        let size = wire_size(record.key, record.value, &headers);
        if size > self.record_max {
            let topic = env.topic(edge);
            return Err(cannot(too_large(size, self.record_max, topic)));
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
        // The timestamp is the time of the failure: a dead letter with the timestamp of an old record could already be
        // past the retention of its topic.
        let meta = Meta {
            headers,
            partition: Some(record.partition % env.kafka.partitions(edge).max(1)),
            timestamp: Some(env.kafka.wall_ms()),
        };
        effects.emit(edge, key, value, meta);
        Ok(())
    }

    /// Checks that no record of the effects is too large for the producer. A record that is too large counts as an
    /// error of the handler.
    fn fits(&self, env: &Env<'_>, key: Option<&[u8]>, effects: &Effects) -> Result<(), Failure> {
        let all = effects.bytes_written() + key.map_or(0, <[u8]>::len);
        if all + RECORD_OVERHEAD <= self.record_max {
            return Ok(());
        }
        let row = match effects.row() {
            Row::Put(range) => {
                let size = wire_size(key, Some(effects.bytes(range)), &NO_HEADERS);
                env.edges.table().map(|table| (size, table))
            }
            Row::Untouched | Row::Delete => None,
        };
        let emits = effects.emits().iter().map(|emit| {
            let bytes = |range: &Option<_>| range.as_ref().map(|range| effects.bytes(range));
            let size = wire_size(bytes(&emit.key), bytes(&emit.value), &emit.headers);
            (size, emit.edge)
        });
        let mut sizes = row.into_iter().chain(emits);
        match sizes.find(|(size, _)| *size > self.record_max) {
            None => Ok(()),
            Some((size, edge)) => {
                let topic = env.topic(edge);
                Err(not_written(too_large(size, self.record_max, topic)))
            }
        }
    }
}

/// The physical topic that a record comes from. For a visited row, this is the changelog.
pub(super) fn topic_of<'a>(env: &Env<'a>, origin: Origin) -> &'a str {
    match origin.by {
        By::Source(source) => env.topic_of(source),
        By::Visit(_) => env.changelog(),
    }
}

/// Checks, before any effect of a handler is applied, that every partition that the handler named exists. A partition
/// that does not exist counts as an error of the handler.
fn has_partitions(env: &Env<'_>, effects: &Effects) -> Result<(), Failure> {
    for emit in effects.emits() {
        let Some(partition) = emit.partition else {
            continue;
        };
        let count = env.kafka.partitions(emit.edge);
        if !(0..count).contains(&partition) {
            let topic = env.topic(emit.edge);
            return Err(not_written(no_partition(partition, count, topic)));
        }
    }
    Ok(())
}

fn not_written(source: BoxError) -> Failure {
    Failure {
        stage: Stage::Handler,
        doing: "write its output",
        source,
    }
}

fn retry_later(
    env: &Env<'_>,
    partitions: &mut Partitions,
    mut origin: Origin,
    record: OwnedRecord,
    wait: Duration,
) {
    origin.attempts += 1;
    let at = env.now() + wait;
    if let Some(partition) = partitions.get_mut(origin.partition) {
        partition.queue_mut().retry(Trouble { origin, record, at });
    }
}

impl Stage {
    /// The name of the stage in the log and in the headers of a dead letter.
    fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Handler | Stage::Broken => "handler",
            Stage::Panic => "panic",
        }
    }
}

/// The failure with all its causes, as one line.
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
        "topic `{topic}` has no partition {partition}, because it has {count} partitions, 0 to {last}. Choose one of \
         these with `Meta::to_partition`, or leave the choice to the partitioner. If partitions were added to the \
         topic, restart the processor to use them"
    ))
}

fn too_large(size: usize, max: usize, topic: &str) -> BoxError {
    BoxError::from(format!(
        "the record for topic `{topic}` has {size} bytes, more than `message.max.bytes` allows ({max}): raise \
         `message.max.bytes` (`Config::set_producer`) and `max.message.bytes` of the topic, or write a smaller record"
    ))
}
