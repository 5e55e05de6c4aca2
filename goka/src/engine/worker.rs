//! One worker: a thread's loop over its connection and its partitions. It shares nothing with
//! other workers; scaling within a process and across processes is the same thing.
//!
//! This file is the loop and the way of one record. What else a worker does is beside it:
//! `assignment` (partitions come and go), `recovery` (until they run), `commit` (the protocol).

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tracing::debug;

use crate::{
    base::{
        error::Error,
        kind::Kind,
        record::{NO_HEADERS, Record},
    },
    engine::{
        commit::{exactly_once::Transaction, offsets::Committing},
        effects::{Effects, Row},
        handling::{failure::panicked, visiting::Visiting, waiting::Woken},
        partition::{
            By, Origin, Partition,
            ledger::{Ledger, Sent},
        },
        port::{Event, Kafka, Keys, Outgoing, SendError, Step, fault::Fault},
        program::{EdgeInfo, OwnedRecord, Reads, SharedReads, Visit},
        spec::Spec,
    },
    store::Store,
};

/// Events taken in one turn, so that commits and recovery get their turn too.
const EVENTS_MAX: usize = 4096;
/// How often a full turn looks at delivery reports and for commits that are due.
const EVENTS_PER_LOOK: usize = 64;

/// A worker. Drive it with [`turn`](Worker::turn); drop it without [`close`](Worker::close), and
/// that is a crash.
pub(crate) struct Worker {
    pub(crate) core: Core,
    pub(crate) kafka: Box<dyn Kafka>,
}

/// Everything but the connection, which events are borrowed from.
pub(crate) struct Core {
    pub(crate) spec: Spec,
    pub(crate) edges: Vec<EdgeInfo>,
    /// Index of the edge of each source.
    pub(crate) sources: Vec<usize>,
    /// Index of the table's edge.
    pub(crate) table_edge: Option<usize>,
    /// Whether rows are written at the end of their interval, see `engine/commit/coalescing.rs`.
    pub(crate) coalesce: bool,
    pub(crate) partitions: BTreeMap<i32, Partition>,
    pub(crate) ledger: Ledger,
    /// Exactly-once: what the transaction of this worker is doing.
    pub(crate) transaction: Transaction,
    pub(crate) effects: Effects,
    pub(crate) now: Duration,
    /// When membership was last proven, by a commit that the group took.
    pub(crate) lease_at: Duration,
    pub(crate) committed_at: Duration,
    /// At-least-once: what the group was sent and has not answered.
    pub(crate) committing: Option<Committing>,
    /// How often it refused them since it took some.
    pub(crate) refusals: u32,
    pub(crate) looked_at: Duration,
    /// The first partition that is moved on in the next turn, if it does not run.
    pub(crate) recover_from: i32,
    /// When a record last found that reports were taken and due commits made.
    pub(crate) served_at: Duration,
    /// Set when a handler that waits can go on.
    pub(crate) woken: Arc<Woken>,
    /// The visit that is on its way.
    pub(crate) visiting: Option<Visiting>,
    pub(crate) visits_begun: u64,
    /// For records without a key: round robin.
    pub(crate) spread: i32,
    /// The largest record that the producer takes, bytes.
    pub(crate) record_max: usize,
    /// Copies that are left, once this worker ends.
    pub(crate) left: Option<Vec<Store>>,
}

impl Worker {
    pub(crate) fn new(spec: Spec, kafka: Box<dyn Kafka>) -> Self {
        let edges = spec.program.edges();
        let of = |kinds: &[Kind]| {
            let edges = edges.iter().enumerate();
            let found = edges.filter(|(_, edge)| kinds.contains(&edge.kind));
            found.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let (sources, table_edge) = (
            of(&[Kind::Input, Kind::Loop]),
            of(&[Kind::Table]).first().copied(),
        );
        let now = kafka.now();
        let core = Core {
            spec,
            sources,
            coalesce: table_edge.is_some_and(|edge| edges[edge].options.coalesce),
            table_edge,
            edges,
            partitions: BTreeMap::new(),
            ledger: Ledger::default(),
            transaction: Transaction::default(),
            effects: Effects::default(),
            now,
            lease_at: now,
            committed_at: now,
            committing: None,
            refusals: 0,
            looked_at: now,
            recover_from: 0,
            served_at: now,
            woken: Arc::default(),
            visiting: None,
            visits_begun: 0,
            spread: 0,
            record_max: kafka.record_max(),
            left: None,
        };
        Worker { core, kafka }
    }

    /// One bounded step: takes events, lets handlers that wait go on, recovers, commits. Waits at
    /// most `idle` if there is nothing to do. An error ends the worker: [`close`](Self::close) it.
    pub(crate) fn turn(&mut self, idle: Duration) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        core.now = kafka.now();
        let recovering = core.recover(kafka)?;
        let waits = core.advance_waiting(kafka)?;
        let visits = core.visit(kafka)?;
        let mut wait = match (recovering || visits, waits || !core.transaction.is_open()) {
            (true, _) => Duration::ZERO,
            (false, true) if core.woken.is_set() => Duration::ZERO,
            (false, true) => idle.min(Duration::from_millis(1)),
            (false, false) => idle,
        };
        for taken in 1..=EVENTS_MAX {
            let mut result = Ok(());
            kafka.ahead(&mut |number, keys| core.look_ahead(number, keys));
            if !kafka.poll(wait, &mut |event| result = core.on(kafka, event)) {
                break;
            }
            result?;
            wait = Duration::ZERO;
            if taken % EVENTS_PER_LOOK == 0 {
                core.now = kafka.now();
                core.serve(kafka, Duration::ZERO);
                core.commit_due(kafka)?;
            }
        }
        core.serve(kafka, Duration::ZERO);
        core.now = kafka.now();
        core.commit_due(kafka)
    }

    /// Leaves the group without a word: it takes this worker for another one already.
    pub(crate) fn abandon(mut self) -> Result<(), Error> {
        let (core, kafka) = (&mut self.core, &*self.kafka);
        let numbers: Vec<i32> = core.partitions.keys().copied().collect();
        let result = core.give_back(kafka, &numbers, true);
        kafka.close();
        result
    }

    /// Finishes and commits what was handled, and leaves the group.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Worker { mut core, kafka } = self;
        let numbers: Vec<i32> = core.partitions.keys().copied().collect();
        core.left = Some(Vec::new());
        let result = core.give_back(&*kafka, &numbers, false);
        match kafka.in_flight() {
            0 => {}
            // Those of partitions that were lost or failed; the others were waited for.
            left => debug!(
                group = core.spec.program.group(),
                left, "leaving with records in the air"
            ),
        }
        kafka.close();
        // Which leaves the group.
        drop(kafka);
        core.close_left();
        result
    }
}

impl Core {
    fn on(&mut self, kafka: &dyn Kafka, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Record(record) => self.take(kafka, &record),
            Event::Assigned(numbers) => {
                self.assigned(&numbers);
                Ok(())
            }
            Event::Revoked { partitions, lost } => {
                self.give_back(kafka, &partitions, lost)?;
                kafka.reached(Step::Revoking)?;
                kafka.released(&partitions)?;
                kafka.reached(Step::Released)
            }
            Event::OutOfRange { source, partition } => self.out_of_range(kafka, source, partition),
            Event::Failed(error) => Err(error),
        }
    }

    /// Records of these keys are coming.
    fn look_ahead(&self, number: i32, keys: &mut Keys<'_>) {
        if let Some(partition) = self.partitions.get(&number) {
            partition.rows.look_ahead(keys);
        }
    }

    /// Takes delivery reports.
    pub(crate) fn serve(&mut self, kafka: &dyn Kafka, wait: Duration) {
        let ledger = &mut self.ledger;
        kafka.serve(wait, &mut |report| ledger.report(report));
    }

    /// Handles a record, or keeps it behind what waits.
    fn take(&mut self, kafka: &dyn Kafka, record: &Record<'_>) -> Result<(), Error> {
        let (number, source) = (record.partition, record.edge);
        let takes = |p: &&mut Partition| p.takes(source, record.offset);
        let Some(partition) = self.partitions.get_mut(&number).filter(takes) else {
            return Ok(());
        };
        partition.fetched[source] = record.offset + 1;
        if partition.keeps() {
            partition.keep(OwnedRecord::of(record));
            return self.hold_if_full(kafka, number);
        }
        self.handle(kafka, record)?;
        let waits = |p: &Partition| p.waiting.is_some();
        if self.partitions.get(&number).is_some_and(waits) {
            self.advance(kafka, number)?;
        }
        Ok(())
    }

    /// Gives a record to its handler. One that waits is only begun.
    pub(crate) fn handle(&mut self, kafka: &dyn Kafka, record: &Record<'_>) -> Result<(), Error> {
        let origin = Origin {
            partition: record.partition,
            by: By::Source(record.edge),
            offset: record.offset,
            timestamp: record.timestamp,
            attempts: 0,
        };
        // Behind the door an edge is known by its place in the graph.
        let edge = self.sources[record.edge];
        self.call(kafka, origin, Record { edge, ..*record }, None)
    }

    /// Calls a handler, or a visitor.
    pub(crate) fn call(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        record: Record<'_>,
        visit: Option<&dyn Visit>,
    ) -> Result<(), Error> {
        if !self.make_room(kafka, origin.partition)? {
            return Ok(());
        }
        let Some(partition) = self.partitions.get_mut(&origin.partition) else {
            return Ok(());
        };
        let (program, edge) = (&self.spec.program, record.edge);
        if visit.map_or(self.edges[edge].waits, Visit::waits) {
            let (record, effects) = (Rc::new(OwnedRecord::of(&record)), Effects::default());
            let reads = SharedReads {
                rows: partition.rows.clone(),
                tables: self.spec.tables.clone(),
            };
            let future = match visit {
                Some(visit) => visit.visit_later(record.clone(), effects, reads),
                None => program.handle_later(edge, record.clone(), effects, reads),
            };
            partition.waiting = Some((future, origin, record));
            return Ok(());
        }
        let reads = Reads {
            rows: &partition.rows,
            tables: &self.spec.tables,
        };
        let effects = &mut self.effects;
        effects.clear();
        let call = AssertUnwindSafe(|| match visit {
            Some(visit) => visit.visit(record, effects, reads),
            None => program.handle(edge, record, effects, reads),
        });
        let outcome = catch_unwind(call).unwrap_or_else(|panic| Err(panicked(&*panic)));
        if !self.may_conclude(kafka, origin)? {
            return Ok(());
        }
        let effects = std::mem::take(&mut self.effects);
        self.effects = self.conclude(kafka, origin, &record, effects, outcome)?;
        Ok(())
    }

    /// What the handler did goes to the producer and to the open interval: all of it, or nothing of the
    /// interval is ever committed.
    pub(crate) fn apply(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        key: Option<&[u8]>,
        effects: &Effects,
    ) -> Result<(), Error> {
        if let Err(error) = self.write(kafka, origin, key, effects) {
            self.take_back(kafka, origin.partition, &error);
            return Err(error);
        }
        self.spec.status.handled();
        kafka.reached(Step::Handled)
    }

    fn write(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
        key: Option<&[u8]>,
        effects: &Effects,
    ) -> Result<(), Error> {
        let number = origin.partition;
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let parity = partition.parity;
        let timestamp = if origin.timestamp < 0 {
            kafka.wall_ms()
        } else {
            origin.timestamp
        };
        let row = match effects.row() {
            Row::Untouched => None,
            Row::Put(range) => Some(Some(effects.bytes(range))),
            Row::Delete => Some(None),
        };
        if let (Some(value), Some(key)) = (row, key) {
            partition.rows.write(key, value);
        }
        if let (Some(value), Some(key), false) = (row, key, self.coalesce) {
            let tag = Ledger::tag(number, parity, Sent::Row);
            if value.is_some() || !self.spec.settings.fault.is(Fault::DropTombstone) {
                self.send_row(kafka, (number, tag), key, value, timestamp)?;
            }
        }
        for emit in effects.emits() {
            let key = emit.key.as_ref().map(|range| effects.bytes(range));
            let value = emit.value.as_ref().map(|range| effects.bytes(range));
            let partition = match emit.partition {
                Some(partition) => partition,
                None => self.partition_of(kafka, emit.edge, key),
            };
            let (target, headers) = (emit.edge, &emit.headers);
            let timestamp = emit.timestamp.unwrap_or(timestamp);
            let tag = Ledger::tag(number, parity, Sent::Output);
            self.send(
                kafka,
                &Outgoing {
                    target,
                    partition,
                    key,
                    value,
                    timestamp,
                    headers,
                    tag,
                },
            )?;
        }
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        if partition.open.records == 0 {
            partition.open.began = self.now;
        }
        partition.open.records += 1;
        partition.open.timestamp = timestamp;
        match origin.by {
            By::Source(source) => partition.open.positions[source] = origin.offset + 1,
            By::Visit(id) => partition.visited.advance(id, key.unwrap_or_default()),
        }
        Ok(())
    }

    fn partition_of(&mut self, kafka: &dyn Kafka, edge: usize, key: Option<&[u8]>) -> i32 {
        let count = kafka.partitions(edge).max(1);
        match key {
            Some(key) => self.edges[edge].partitioner.partition(key, count),
            None => {
                self.spread = (self.spread + 1) % count;
                self.spread
            }
        }
    }

    /// Writes a row of a partition to the table's topic; a group without a table has none.
    pub(crate) fn send_row(
        &mut self,
        kafka: &dyn Kafka,
        (partition, tag): (i32, u32),
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
    ) -> Result<(), Error> {
        let Some(target) = self.table_edge else {
            return Ok(());
        };
        let (key, headers) = (Some(key), &NO_HEADERS);
        let record = Outgoing {
            target,
            partition,
            key,
            value,
            timestamp,
            headers,
            tag,
        };
        self.send(kafka, &record)
    }

    /// Hands a record to the producer, and waits while its queue is full: back-pressure.
    pub(crate) fn send(&mut self, kafka: &dyn Kafka, record: &Outgoing<'_>) -> Result<(), Error> {
        loop {
            match kafka.send(record) {
                Ok(()) => {
                    self.ledger.sent(record.tag);
                    return Ok(());
                }
                Err(SendError::Full) => self.serve(kafka, Duration::from_millis(1)),
                Err(SendError::Refused(error)) => return Err(error),
            }
        }
    }
}
