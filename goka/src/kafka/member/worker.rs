//! The implementation of [`Kafka`] with rdkafka: a group member, its producer, and the reader of its changelog.
//!
//! The member subscribes to one topic, but only to get partition numbers. For each number `n`, it fetches partition
//! `n` of every source when the engine asks for it (see `assignment.rs`). Must not know tables or the order of a
//! commit.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    assignment::Assignment, leaving::Leaving, spec::MemberSpec, uncommitted::uncommitted,
    writer::Writer,
};
use crate::{
    base::{
        config::Membership,
        error::{BoxError, Error},
        index::{EdgeIx, SourceIx},
        record::{Headers, Record, to_ms},
    },
    engine::port::{
        self, CommitError, Committed, Event, GroupOffsets, Kafka, Keys, Log, Outgoing, Position,
        Reader, Report, SendError, Unstable,
    },
    kafka::{
        client::{
            clock::{BootClock, boot_time},
            connection::{Connection, SOON},
            log::ClientLog,
            metadata::{partitions, watermarks},
            names,
            settings::Role,
        },
        native::{
            event::{Failure, Kind},
            fetch::FetchingConsumer,
            listed::{listed, terminated},
            message::{Message, TopicHandle},
            request::{Commit, Refused},
            transaction,
        },
        produce::producer::{Delivered, Producer, ToSend},
        reader::TopicReader,
    },
};

/// How long a commit may take. This is less than the membership lease that a commit renews, so that a member whose
/// coordinator cannot be reached notices this in time.
const COMMIT_ANSWER: Duration = Duration::from_secs(3);

/// How long to wait for committed offsets that an open transaction may withhold; the worker does nothing else
/// meanwhile. librdkafka asks three times within about 300 ms, and then reports [`UNSTABLE`].
const STABLE_ANSWER: Duration = Duration::from_secs(1);
const UNSTABLE: RDKafkaErrorCode = RDKafkaErrorCode::UnstableOffsetCommit;

pub(crate) struct WorkerConnection {
    // `sources` and `committing` are declared before the client (in `consumer`), which must be dropped last.
    sources: Vec<Source>,
    /// The commit that is in flight, or why it could not be sent.
    committing: RefCell<Option<Result<Commit, Refused>>>,
    group: String,
    /// Physical name of the topic to subscribe to.
    leader: String,
    has_joined: Cell<bool>,
    assignment: Assignment,
    producer: Writer,
    table: Option<TopicReader>,
    clock: BootClock,
    consumer: Leaving<FetchingConsumer>,
}

struct Source {
    topic: TopicHandle,
    physical: String,
}

impl WorkerConnection {
    /// Connects to Kafka. The first poll joins the group, and later polls return the first partitions.
    pub(crate) fn open(
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
        let consumer = Leaving::new(FetchingConsumer::new(opened)?);
        let native = consumer.client().client();
        // Fetched before anything else, because joining the group and the first record need this metadata.
        partitions(native, &leader)?;
        let mut sources = Vec::with_capacity(spec.sources.len());
        for logical in &spec.sources {
            let physical = connection.names.topic(logical)?;
            partitions(native, &physical)?;
            // SAFETY: the client is alive. It becomes a field that is dropped after its topics.
            let topic = unsafe { TopicHandle::new(native.native_ptr(), &physical)? };
            sources.push(Source { topic, physical });
        }
        let producer = Writer::open(connection, spec, who("producer"))?;
        let topics = sources.iter().map(|source| source.physical.clone());
        Ok(WorkerConnection {
            assignment: Assignment::new(&group, topics.collect()),
            sources,
            committing: RefCell::default(),
            leader,
            has_joined: Cell::new(false),
            group,
            producer,
            table,
            clock: BootClock::default(),
            consumer,
        })
    }

    fn join(&self) -> Result<(), Error> {
        let joined = self.client().subscribe(&[&self.leader]);
        joined.map_err(|error| Error::kafka(format!("join group `{}`", self.group), error))
    }

    fn client(&self) -> &BaseConsumer<ClientLog> {
        self.consumer.client()
    }

    fn record<'e>(&self, message: &'e Message<'_>) -> Option<Event<'e>> {
        let source = self
            .sources
            .iter()
            .position(|source| message.is_of(&source.topic))?;
        Some(Event::Record {
            source: SourceIx::new(source),
            record: Record {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp(),
                key: message.key(),
                value: message.value(),
                headers: Headers(Some(message)),
            },
        })
    }

    /// The event that the engine gets for `kind`; `None` if the engine has no use for such an event.
    fn event<'e>(&self, kind: &'e Kind<'_>) -> Option<Event<'e>> {
        match kind {
            Kind::Record(message) => self.record(message),
            Kind::Assigned(partitions) => match self.assignment.taken(&self.consumer) {
                Err(error) => Some(Event::Failed(error)),
                Ok(()) => Some(Event::Assigned(partitions.clone())),
            },
            Kind::Revoked(partitions) => Some(Event::Revoked {
                partitions: partitions.clone(),
                lost: self.assignment.revoked(&self.consumer),
            }),
            Kind::Failed(failure) => self.failure(failure),
            Kind::Delivered(_) | Kind::Other => None,
        }
    }

    fn failure(&self, failure: &Failure) -> Option<Event<'static>> {
        use RDKafkaErrorCode::*;
        let place = failure.partition.as_ref().and_then(|(topic, partition)| {
            let source = self.sources.iter().position(|s| s.physical == *topic)?;
            Some((SourceIx::new(source), *partition))
        });
        let failed = |why: String| {
            let doing = format!("consume as a member of group `{}`", self.group);
            Some(Event::Failed(Error::kafka(doing, why)))
        };
        let group = &self.group;
        match (failure.code, place) {
            (AutoOffsetReset | OffsetOutOfRange, Some((source, partition))) => {
                Some(Event::OutOfRange { source, partition })
            }
            (FencedInstanceId | UnreleasedInstanceId, _) => {
                Some(Event::Failed(Error::Fenced(format!(
                    "another member of group `{group}` uses the instance id of this process: give each process its own \
                     id (`Config::instance_id`) or state directory ({})",
                    failure.reason
                ))))
            }
            (GroupAuthorizationFailed, _) => failed(format!(
                "the broker denies access; grant the ACL `Read` on group `{group}`"
            )),
            (TopicAuthorizationFailed, _) => failed(format!(
                "the broker denies access; grant the ACL `Read` on the topic ({})",
                failure.reason
            )),
            (code, _) if failure.fatal => failed(format!("{code}: {}", failure.reason)),
            (code, _) => {
                let context = self.client().context();
                context.error(code, &failure.reason);
                None
            }
        }
    }

    fn not_fetched(&self, what: &str, partition: i32, error: impl Into<BoxError>) -> Error {
        let group = &self.group;
        Error::kafka(
            format!("fetch the {what} of group `{group}`, partition {partition}"),
            error,
        )
    }

    /// The positions as a list that librdkafka commits.
    fn offsets(&self, positions: &[Position]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            let topic = match position.log {
                Log::Source(source) => &*self.sources[source.index()].physical,
                Log::Changelog => self.table.as_ref().map_or("", TopicReader::physical),
            };
            let offset = Offset::Offset(position.offset);
            list.add_partition_offset(topic, position.partition, offset)?;
            if let Some(mut element) = list.find_partition(topic, position.partition) {
                element.set_metadata(terminated(&position.metadata));
            }
        }
        Ok(list)
    }

    /// The identity of this member, to be sent with the offsets of a transaction. Fails if the worker is no longer a
    /// member, because such a worker must not send offsets: without an identity, the broker would accept offsets from
    /// any client.
    fn membership(&self) -> Result<transaction::Membership, Error> {
        let membership = transaction::Membership::of(self.client().client());
        // The identity is read before the loss is checked: if the membership is lost in between, the broker rejects
        // the identity.
        let is_lost = self.client().assignment_lost();
        let membership = membership.filter(|membership| membership.is_member() && !is_lost);
        membership.ok_or_else(|| {
            let group = &self.group;
            Error::kafka(
                format!("commit a transaction of group `{group}`"),
                "this worker is no longer a member of the group",
            )
        })
    }

    fn uncommitted(&self, refused: &Refused) -> CommitError {
        let changelog = self.table.as_ref().map(TopicReader::physical);
        uncommitted(&self.group, changelog, refused)
    }

    fn send_offsets(&self, positions: &[Position]) -> Result<Commit, Refused> {
        let list = self.offsets(positions).map_err(|error| {
            let code = error.rdkafka_error_code();
            code.unwrap_or(RDKafkaErrorCode::InvalidArgument)
        })?;
        // SAFETY: the client is a field that is dropped after the field that keeps the commit.
        let begun = unsafe { Commit::begin(self.client().client(), &list) };
        begun.map_err(Refused::from)
    }
}

impl port::Clock for WorkerConnection {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall_ms(&self) -> i64 {
        to_ms(SystemTime::now())
    }
}

impl port::Member for WorkerConnection {
    fn poll(&self, wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool {
        if !self.has_joined.replace(true)
            && let Err(error) = self.join()
        {
            on(Event::Failed(error));
            return true;
        }
        // A fatal error of a transactional producer only means that the transaction cannot be committed.
        if let Writer::Plain(producer) = &self.producer
            && let Some(error) = producer.fatal()
        {
            on(Event::Failed(error));
            return true;
        }
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let mut wait = wait;
        while let Some(happened) = self.consumer.poll(wait) {
            let kind = happened.kind();
            if let Some(event) = self.event(&kind) {
                on(event);
                return true;
            }
            wait = until.map_or(wait, |until| {
                until.saturating_duration_since(Instant::now())
            });
        }
        false
    }

    fn ahead(&self, on: &mut dyn FnMut(i32, &mut Keys<'_>)) {
        self.consumer.ahead(on);
    }

    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        self.assignment.assign(&self.consumer, partition, offsets)
    }

    fn unassign(&self, partition: i32) -> Result<(), Error> {
        self.assignment.unassign(&self.consumer, partition)
    }

    fn released(&self, partitions: &[i32]) -> Result<(), Error> {
        self.assignment.released(&self.consumer, partitions)
    }

    fn commit(&self, positions: &[Position]) -> Result<(), CommitError> {
        self.committing.take();
        let began = boot_time();
        let taken = self.send_offsets(positions).and_then(|commit| {
            let answer = commit.answer(COMMIT_ANSWER);
            answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut.into()))
        });
        taken.map_err(|refused| self.uncommitted(&refused))?;
        self.producer.with(|producer| producer.proven(began));
        Ok(())
    }

    fn begin_commit(&self, positions: &[Position]) {
        let begun = self.send_offsets(positions);
        self.committing.replace(Some(begun));
    }

    fn commit_outcome(&self) -> Option<Result<(), CommitError>> {
        let mut committing = self.committing.borrow_mut();
        let outcome = match committing.as_ref()? {
            Ok(commit) => commit.answer(Duration::ZERO)?,
            Err(refused) => Err(refused.clone()),
        };
        *committing = None;
        Some(outcome.map_err(|refused| self.uncommitted(&refused)))
    }

    fn committed(&self, partition: i32) -> Result<GroupOffsets, Error> {
        let failed = |error| self.not_fetched("committed offsets", partition, error);
        let mut list = self.assignment.list([partition], None).map_err(failed)?;
        if let Some(table) = &self.table {
            list.add_partition(table.physical(), partition);
        }
        let wait = match self.producer {
            Writer::Plain(_) => SOON,
            Writer::Transactions(_) => STABLE_ANSWER,
        };
        let answer = self.client().committed_offsets(list, wait);
        let answer = answer.map_err(failed)?;
        let of = |topic: &str| {
            let mut listed = listed(&answer);
            let Some(found) = listed.find(|l| l.topic == topic && l.partition == partition) else {
                return Ok(None);
            };
            match found.error {
                None => {}
                Some(UNSTABLE) => {
                    return Err(self.not_fetched("committed offsets", partition, Unstable));
                }
                Some(code) => return Err(self.not_fetched("committed offsets", partition, code)),
            }
            Ok(found.offset.map(|offset| Committed {
                offset,
                metadata: found.metadata.into_owned(),
            }))
        };
        let sources = self.sources.iter().map(|source| of(&source.physical));
        let table = self.table.as_ref().map(TopicReader::physical);
        Ok(GroupOffsets {
            sources: sources.collect::<Result<_, _>>()?,
            changelog: table.map_or(Ok(None), of)?,
        })
    }

    fn bounds(&self, source: SourceIx, partition: i32) -> Result<(i64, i64), Error> {
        let topic = &self.sources[source.index()].physical;
        watermarks(self.client().client(), topic, partition)
    }
}

impl port::Producer for WorkerConnection {
    fn partitions(&self, target: EdgeIx) -> i32 {
        self.producer
            .with(|producer| producer.partitions(target.index()))
    }

    fn record_max(&self) -> usize {
        self.producer.with(Producer::record_max)
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        let record = ToSend {
            target: record.target.index(),
            partition: record.partition,
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
            opaque: record.tag as usize,
        };
        self.producer.with(|producer| producer.send(&record))
    }

    fn serve(&self, wait: Duration, on: &mut dyn FnMut(Report)) {
        let on = &mut |delivered: Delivered| {
            on(Report {
                // `send` made this number from a tag.
                tag: delivered.opaque as u32,
                result: delivered.result,
            });
        };
        self.producer.serve(wait, on);
    }

    fn in_flight(&self) -> usize {
        self.producer.in_flight()
    }

    fn purge(&self) {
        self.producer.with(Producer::purge);
    }
}

impl port::Transactions for WorkerConnection {
    fn end_transaction(&self) {
        if let Some(transactions) = self.producer.transactions() {
            transactions.end();
        }
    }

    fn commit_transaction(&self, positions: &[Position]) {
        let Some(transactions) = self.producer.transactions() else {
            return;
        };
        let offsets = self.offsets(positions).map_err(|error| {
            Error::kafka(format!("commit offsets of group `{}`", self.group), error)
        });
        match offsets.and_then(|offsets| Ok((offsets, self.membership()?))) {
            Ok((offsets, membership)) => transactions.commit(offsets, membership),
            Err(error) => transactions.refuse(error),
        }
    }

    fn abort_transaction(&self) {
        if let Some(transactions) = self.producer.transactions() {
            transactions.abort();
        }
    }

    fn transaction(&self) -> Option<Result<(), Error>> {
        self.producer.transactions()?.outcome()
    }

    fn is_full(&self) -> bool {
        self.producer.with(Producer::is_full)
    }

    fn table_end(&self, partition: i32) -> Result<i64, Error> {
        let Some(table) = &self.table else {
            return Ok(0);
        };
        // The producer's client asks for the end, because this client sees records of undecided transactions
        // (`read_uncommitted`).
        let ends = |producer: &Producer| watermarks(producer.client(), table.physical(), partition);
        self.producer.with(ends).map(|(_, end)| end)
    }

    fn fence(&self, partition: i32, before: &BTreeSet<String>) {
        let Some(transactions) = self.producer.transactions() else {
            return;
        };
        match self.assignment.list([partition], None) {
            Ok(offsets) => transactions.fence(&self.group, offsets, before.clone()),
            Err(error) => tracing::warn!(
                target: "goka::kafka",
                group = self.group, partition, %error,
                "cannot abort the open transaction of the partition's previous owner"
            ),
        }
    }
}

impl Kafka for WorkerConnection {
    fn table(&self) -> Option<&dyn Reader> {
        self.table.as_ref().map(|table| table as &dyn Reader)
    }

    /// Gives up all partitions. The member leaves the group when `self` is dropped, which must happen soon after this
    /// call.
    ///
    /// All open rebalances are answered here, so that none is left for the drop of the consumer: while a consumer
    /// closes, librdkafka takes any call as the answer to everything that it waits for, and may never reply to a
    /// second call.
    fn close(&self) {
        if let Some(transactions) = self.producer.transactions() {
            transactions.close();
        }
        self.consumer.forget_all();
        let mut answers = vec![self.assignment.let_go(&self.consumer)];
        while let Some(event) = self.consumer.event() {
            match event.kind() {
                Kind::Assigned(_) => answers.push(self.assignment.taken(&self.consumer)),
                Kind::Revoked(_) => answers.push(self.assignment.let_go(&self.consumer)),
                _ => {}
            }
        }
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!(target: "goka::kafka", group = self.group, %error, "cannot give up partitions while leaving");
        }
    }
}

impl Drop for WorkerConnection {
    /// Closes the connection, even on a thread that panics: librdkafka does not destroy a consumer before an open
    /// rebalance is answered.
    fn drop(&mut self) {
        self.close();
    }
}
