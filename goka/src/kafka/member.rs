//! [`Kafka`] by rdkafka: a member of a group, its producer, and the reader of its table's topic.
//!
//! One topic, the leader, is subscribed, and only for the numbers of its partitions: partition `n`
//! of every source is assigned for `n`, when the engine asks. librdkafka waits for an answer to a
//! rebalance but does not mind when it comes, so a revoke is answered by `released`, after the
//! worker has finished. Must not know tables or commits.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    CommitError, Committed, Event, Kafka, Outgoing, Position, Reader, Report, SendError,
    cluster::{ANSWER, Connection, MemberSpec},
    context::Context,
    names,
    native::{Failure, Kind, Polled, Topic},
    producer::{Producer, ToSend, partitions},
    reader::TopicReader,
    settings::Role,
};
use crate::{
    Error,
    config::Membership,
    record::{Headers, Record, to_ms},
};

pub(super) struct Member {
    // Before the client, which must be dropped last.
    sources: Vec<Source>,
    group: String,
    held: RefCell<Held>,
    producer: Producer,
    table: Option<TopicReader>,
    consumer: Polled<BaseConsumer<Context>>,
}

struct Source {
    topic: Topic,
    physical: String,
}

/// Which partitions librdkafka has been told to fetch.
#[derive(Default)]
struct Held {
    assigned: BTreeSet<i32>,
    /// While a revoke is not answered, what is to be done after it: any `incremental_unassign` would
    /// be taken for the answer.
    waiting: Option<Vec<Change>>,
}

enum Change {
    Assign(i32, Vec<i64>),
    Unassign(i32),
}

impl Member {
    /// Joins the group. The first partitions come with the first polls.
    pub(super) fn join(
        connection: &Connection,
        spec: &MemberSpec,
        table: Option<TopicReader>,
    ) -> Result<Self, Error> {
        let group = connection.names.group(&spec.group)?;
        let leader = connection.names.topic(&spec.leader)?;
        names::check("instance", &spec.instance)?;
        let who = |what: &str| format!("{what} of worker {} of group `{group}`", spec.worker);
        let opened: BaseConsumer<_> =
            connection.open(Role::Member, who("consumer"), |settings| {
                settings.set("group.id", &group);
                if connection.config.membership == Membership::Static {
                    let id = format!("{}-{}", spec.instance, spec.worker);
                    settings.set("group.instance.id", id);
                }
            })?;
        let consumer = Polled::consumer(opened)?;
        let native = consumer.client().client();
        // Asked for before anything else: joining and the first record come the sooner.
        partitions(native, &leader)?;
        let mut sources = Vec::with_capacity(spec.sources.len());
        for logical in &spec.sources {
            let physical = connection.names.topic(logical)?;
            partitions(native, &physical)?;
            // SAFETY: the client is alive, and a field that is dropped after its topics.
            let topic = unsafe { Topic::new(native.native_ptr(), &physical)? };
            sources.push(Source { topic, physical });
        }
        let producer = Producer::open(connection, Role::Worker, who("producer"), &spec.targets)?;
        consumer
            .client()
            .subscribe(&[&leader])
            .map_err(|error| Error::kafka(format!("join group `{group}`"), error))?;
        Ok(Member {
            sources,
            group,
            held: RefCell::default(),
            producer,
            table,
            consumer,
        })
    }

    fn client(&self) -> &BaseConsumer<Context> {
        self.consumer.client()
    }

    /// Partition `partition` of every source.
    fn list(
        &self,
        partitions: impl IntoIterator<Item = i32>,
        offsets: Option<&[i64]>,
    ) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for (index, source) in self.sources.iter().enumerate() {
                let offset = offsets.and_then(|offsets| offsets.get(index));
                let offset = offset.map_or(Offset::Invalid, |offset| Offset::Offset(*offset));
                list.add_partition_offset(&source.physical, partition, offset)
                    .map_err(|error| self.failed("address", partition, error))?;
            }
        }
        Ok(list)
    }

    fn failed(&self, doing: &str, partition: i32, error: KafkaError) -> Error {
        let group = &self.group;
        Error::kafka(
            format!("{doing} partition {partition} of the inputs of group `{group}`"),
            error,
        )
    }

    fn assign_now(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        let list = self.list([partition], Some(offsets))?;
        self.client()
            .incremental_assign(&list)
            .map_err(|error| self.failed("fetch", partition, error))?;
        self.held.borrow_mut().assigned.insert(partition);
        Ok(())
    }

    /// Answers an open revoke, if these are all partitions that it named.
    fn unassign_now(&self, partitions: impl IntoIterator<Item = i32>) -> Result<(), Error> {
        let mut held = self.held.borrow_mut();
        let gone: Vec<i32> = partitions
            .into_iter()
            .filter(|partition| held.assigned.remove(partition))
            .collect();
        let list = self.list(gone, None)?;
        self.unfetch(&list)
    }

    fn unfetch(&self, list: &TopicPartitionList) -> Result<(), Error> {
        self.client().incremental_unassign(list).map_err(|error| {
            Error::kafka(
                format!("give back partitions of group `{}`", self.group),
                error,
            )
        })
    }

    /// Answers that partitions were given. Nothing is fetched yet: the engine assigns a partition
    /// when it has recovered.
    fn take(&self) -> Result<(), Error> {
        let nothing = TopicPartitionList::new();
        self.client().incremental_assign(&nothing).map_err(|error| {
            Error::kafka(format!("take partitions of group `{}`", self.group), error)
        })
    }

    fn event<'e>(&self, kind: &'e Kind<'_>) -> Option<Event<'e>> {
        match kind {
            Kind::Record(message) => {
                let edge = self
                    .sources
                    .iter()
                    .position(|source| message.is_of(&source.topic))?;
                Some(Event::Record(Record {
                    edge,
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp: message.timestamp(),
                    key: message.key(),
                    value: message.value(),
                    headers: Headers(Some(message)),
                }))
            }
            Kind::Assigned(partitions) => match self.take() {
                Err(error) => Some(Event::Failed(error)),
                Ok(()) if partitions.is_empty() => None,
                Ok(()) => Some(Event::Assigned(partitions.clone())),
            },
            Kind::Revoked(partitions) => {
                // Asked now: any later call of assign or unassign makes librdkafka forget it.
                let lost = self.client().assignment_lost();
                self.held.borrow_mut().waiting = Some(Vec::new());
                Some(Event::Revoked {
                    partitions: partitions.clone(),
                    lost,
                })
            }
            Kind::Failed(failure) => self.failure(failure),
            Kind::Delivered(_) | Kind::Other => None,
        }
    }

    fn failure(&self, failure: &Failure) -> Option<Event<'static>> {
        use RDKafkaErrorCode::*;
        let place = failure.partition.as_ref().and_then(|(topic, partition)| {
            let source = self.sources.iter().position(|s| s.physical == *topic)?;
            Some((source, *partition))
        });
        let failed = |why: String| {
            let doing = format!("read the inputs of group `{}`", self.group);
            Some(Event::Failed(Error::kafka(doing, why)))
        };
        let group = &self.group;
        match (failure.code, place) {
            (AutoOffsetReset | OffsetOutOfRange, Some((source, partition))) => {
                Some(Event::OutOfRange { source, partition })
            }
            (FencedInstanceId, _) => failed(format!(
                "another process has joined with the same instance id: give each its own \
                 (`Config::instance_id`, or a state directory each) ({})",
                failure.reason
            )),
            (GroupAuthorizationFailed, _) => failed(format!(
                "the broker denies it; grant the right Read on group `{group}`"
            )),
            (TopicAuthorizationFailed, _) => failed(format!(
                "the broker denies it; grant the right Read on the topic ({})",
                failure.reason
            )),
            (code, _) if failure.fatal => failed(format!("{code}: {}", failure.reason)),
            (code, _) => {
                let context = self.client().context();
                context.complain(&code.to_string(), &failure.reason);
                None
            }
        }
    }
}

impl Kafka for Member {
    fn now(&self) -> Duration {
        boot_time()
    }

    fn wall_ms(&self) -> i64 {
        to_ms(SystemTime::now())
    }

    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool {
        if let Some(error) = self.producer.fatal() {
            on(Event::Failed(error));
            return true;
        }
        let until = Instant::now() + wait;
        let mut wait = wait;
        while let Some(event) = self.consumer.poll(wait) {
            let kind = event.kind();
            if let Some(event) = self.event(&kind) {
                on(event);
                return true;
            }
            wait = until.saturating_duration_since(Instant::now());
        }
        false
    }

    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        if let Some(waiting) = &mut self.held.borrow_mut().waiting {
            waiting.push(Change::Assign(partition, offsets.to_vec()));
            return Ok(());
        }
        self.assign_now(partition, offsets)
    }

    fn unassign(&self, partition: i32) -> Result<(), Error> {
        let mut held = self.held.borrow_mut();
        if let Some(waiting) = &mut held.waiting {
            waiting.push(Change::Unassign(partition));
            return Ok(());
        }
        if !held.assigned.contains(&partition) {
            return Ok(());
        }
        drop(held);
        self.unassign_now([partition])
    }

    fn released(&self, partitions: &[i32]) -> Result<(), Error> {
        let waiting = self.held.borrow_mut().waiting.take().unwrap_or_default();
        let also = waiting.iter().filter_map(|change| match change {
            Change::Unassign(partition) => Some(*partition),
            Change::Assign(..) => None,
        });
        let gone: BTreeSet<i32> = partitions.iter().copied().chain(also).collect();
        self.unassign_now(gone)?;
        for change in waiting {
            if let Change::Assign(partition, offsets) = change
                && !partitions.contains(&partition)
            {
                self.assign_now(partition, &offsets)?;
            }
        }
        Ok(())
    }

    fn commit(&self, positions: &[Position], metadata: &str) -> Result<(), CommitError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        let added = positions.iter().try_for_each(|position| {
            let topic = &self.sources[position.source].physical;
            let offset = Offset::Offset(position.offset);
            list.add_partition_offset(topic, position.partition, offset)?;
            if let Some(mut element) = list.find_partition(topic, position.partition) {
                element.set_metadata(metadata);
            }
            Ok(())
        });
        added
            .and_then(|()| self.client().commit(&list, CommitMode::Sync))
            .map_err(|error| self.uncommitted(error))
    }

    fn committed(&self, partition: i32) -> Result<Vec<Option<Committed>>, Error> {
        let doing = "ask for the committed offsets of";
        let list = self.list([partition], None)?;
        let answer = self
            .client()
            .committed_offsets(list, ANSWER)
            .map_err(|error| self.failed(doing, partition, error))?;
        let mut committed = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let element = answer.find_partition(&source.physical, partition);
            let Some(element) = element else {
                committed.push(None);
                continue;
            };
            element
                .error()
                .map_err(|error| self.failed(doing, partition, error))?;
            committed.push(match element.offset() {
                Offset::Offset(offset) => Some(Committed {
                    offset,
                    metadata: element.metadata().to_owned(),
                }),
                _ => None,
            });
        }
        Ok(committed)
    }

    fn bounds(&self, source: usize, partition: i32) -> Result<(i64, i64), Error> {
        let topic = &self.sources[source].physical;
        self.client()
            .fetch_watermarks(topic, partition, ANSWER)
            .map_err(|error| {
                let doing =
                    format!("ask for the offsets of topic `{topic}`, partition {partition}");
                Error::kafka(doing, error)
            })
    }

    fn partitions(&self, target: usize) -> i32 {
        self.producer.partitions(target)
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        self.producer.send(&ToSend {
            target: record.target,
            partition: record.partition,
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
            opaque: record.tag as usize,
        })
    }

    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report)) {
        self.producer.serve(wait, &mut |delivered| {
            on(Report {
                // It was a tag when it was sent.
                tag: delivered.opaque as u32,
                result: delivered.result,
            });
        });
    }

    fn in_flight(&self) -> usize {
        self.producer.in_flight()
    }

    fn purge(&self) {
        self.producer.purge();
    }

    fn table(&self) -> Option<&dyn Reader> {
        self.table.as_ref().map(|table| table as &dyn Reader)
    }

    /// Lets all partitions go. The group is left when `self` is dropped, which must be soon.
    ///
    /// Nothing is left for the consumer's own drop to answer: from then on librdkafka takes any
    /// call for the answer to all that it waits for, and may never reply to a second one.
    fn close(&self) {
        let all = std::mem::take(&mut *self.held.borrow_mut()).assigned;
        let mut answers = vec![self.list(all, None).and_then(|list| self.unfetch(&list))];
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event.kind() {
                Kind::Assigned(_) => answers.push(self.take()),
                Kind::Revoked(_) => answers.push(self.unfetch(&TopicPartitionList::new())),
                _ => {}
            }
        }
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!(target: "goka::kafka", "while leaving: {error}");
        }
    }
}

impl Drop for Member {
    /// librdkafka waits for an open answer before it lets a consumer go, also on a thread that
    /// panics.
    fn drop(&mut self) {
        self.close();
    }
}

impl Member {
    fn uncommitted(&self, error: KafkaError) -> CommitError {
        use RDKafkaErrorCode::*;
        let code = error.rdkafka_error_code();
        let error = Error::kafka(format!("commit offsets of group `{}`", self.group), error);
        match code {
            Some(
                UnknownMemberId | FencedInstanceId | AssignmentLost | Fenced | Fatal
                | FencedMemberEpoch | UnreleasedInstanceId,
            ) => CommitError::NotMember(error),
            // Rebalances, brokers that are away, and what nobody foresaw: the positions are kept, and
            // the lease ends a membership that cannot commit.
            _ => CommitError::Again(error),
        }
    }
}

/// Time since the machine was started, sleep included.
fn boot_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = libc::CLOCK_BOOTTIME;
    // On macOS this clock goes on during sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: it is given a place for its answer, and a clock that there is.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
