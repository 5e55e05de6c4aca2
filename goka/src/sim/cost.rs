//! Counts the allocations that the engine makes for each record, with a typed handler and a local copy. The Kafka in
//! this test does nothing and allocates nothing, so that all counted allocations are the engine's.

use std::{
    cell::{Cell, RefCell},
    env,
    fmt::Write as _,
    fs,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::parts;
use crate::engine::{
    partition::ledger::Sent,
    spec::{Settings, Spec},
    status::Status,
    worker::Worker,
};
use crate::{
    base::{
        config::Guarantee,
        error::Error,
        index::{EdgeIx, SourceIx},
        record::{Headers, Record},
    },
    engine::port::{
        Clock, CommitError, Event, GroupOffsets, Kafka, Member, Outgoing, Position, Producer,
        Reader, Report, SendError, TableEvent, Transactions,
    },
    typed::{processor::Processor, program::Typed},
};

const PARTITIONS: i32 = 2;
/// The number of consecutive records that come from one partition.
const RUN: u64 = 500;
/// The virtual time between two records.
const TICK: Duration = Duration::from_micros(3);

#[goka::stream("clicks", value = String)]
struct Clicks;
#[goka::stream("warnings", value = i64)]
struct Warnings;
#[goka::table(group = "count", value = i64)]
struct Counts;

/// Counts clicks.
#[goka::processor(group = "count", input = Clicks, table = Counts)]
fn count(ctx: &mut count::Context<'_>) -> crate::base::error::Result {
    let clicks = ctx.value()?.unwrap_or(0) + 1;
    ctx.set_value(&clicks)
}

/// Counts clicks, and sends a message for each click. The handler takes no value, so the value of the click is not
/// decoded.
#[goka::processor(group = "count", input = Clicks, table = Counts, output = Warnings)]
fn warn(ctx: &mut warn::Context<'_>) -> crate::base::error::Result {
    let clicks = ctx.value()?.unwrap_or(0) + 1;
    ctx.set_value(&clicks)?;
    ctx.emit::<Warnings>(ctx.key(), &clicks)
}

#[goka::table(group = "coalesced", value = i64, coalesce = true)]
struct Coalesced;

#[goka::processor(group = "coalesced", input = Clicks, table = Coalesced)]
fn coalesced(ctx: &mut coalesced::Context<'_>) -> crate::base::error::Result {
    let clicks = ctx.value()?.unwrap_or(0) + 1;
    ctx.set_value(&clicks)
}

/// One worker, with its local copies in memory.
struct Engine {
    worker: Worker,
    /// The number of rows written to the changelog.
    written: Rc<Cell<u64>>,
    status: Arc<Status>,
    _disk: TempDir,
}

impl Engine {
    fn start<P: Processor>(processor: P, guarantee: Guarantee, keys: u64) -> Engine {
        let disk = parts::disk();
        let program = Arc::new(Typed(Arc::new(processor)));
        let settings = Settings {
            records_max: 100_000,
            ..parts::settings(guarantee, "cost")
        };
        let identity = parts::identity("count-state", PARTITIONS);
        let spec = Spec {
            table: Some(parts::table(disk.path().to_owned(), identity)),
            ..parts::spec(program, settings)
        };
        let status = Arc::clone(&spec.status);
        let kafka = Nowhere::new(keys);
        let written = Rc::clone(&kafka.written);
        let worker = Worker::new(spec, Box::new(kafka));
        Engine {
            worker,
            written,
            status,
            _disk: disk,
        }
    }

    /// Processes at least `records` more records.
    fn handle(&mut self, records: u64) {
        let until = self.status.handled_so_far() + records;
        while self.status.handled_so_far() < until {
            self.worker.turn(Duration::ZERO).expect("the turn succeeds");
        }
    }
}

/// A stub of Kafka: its input is an endless topic of clicks, and it reports every record that is sent as delivered.
struct Nowhere {
    keys: u64,
    /// The key of the record that was returned last.
    key: RefCell<String>,
    now: Cell<Duration>,
    is_given: Cell<bool>,
    polled: Cell<u64>,
    chance: Cell<u64>,
    /// For each partition, the next offset of the input; `None` while the partition is not assigned.
    inputs: RefCell<[Option<i64>; PARTITIONS as usize]>,
    /// For each partition, the next offset of the changelog.
    rows: RefCell<[i64; PARTITIONS as usize]>,
    written: Rc<Cell<u64>>,
    reports: RefCell<Vec<Report>>,
    ended: RefCell<Vec<i32>>,
    committing: Cell<bool>,
}

impl Nowhere {
    fn new(keys: u64) -> Self {
        Nowhere {
            keys,
            key: RefCell::default(),
            now: Cell::new(Duration::from_secs(1)),
            is_given: Cell::default(),
            polled: Cell::default(),
            chance: Cell::new(42),
            inputs: RefCell::default(),
            rows: RefCell::default(),
            written: Rc::default(),
            reports: RefCell::default(),
            ended: RefCell::default(),
            committing: Cell::default(),
        }
    }

    /// Chooses one of the keys of a partition.
    fn next_key(&self, partition: i32) {
        let next = self.chance.get().wrapping_mul(6_364_136_223_846_793_005);
        self.chance
            .set(next.wrapping_add(1_442_695_040_888_963_407));
        let number = (self.chance.get() >> 33) % self.keys;
        let number = number - number % PARTITIONS as u64 + partition as u64;
        let mut key = self.key.borrow_mut();
        key.clear();
        write!(key, "user-{number}").expect("writing to a String never fails");
    }
}

impl Clock for Nowhere {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn wall_ms(&self) -> i64 {
        1_767_225_600_000
    }
}

impl Member for Nowhere {
    fn poll(&self, _wait: Duration, on: &mut dyn FnMut(Event<'_>)) -> bool {
        self.now.set(self.now.get() + TICK);
        if !self.is_given.replace(true) {
            on(Event::Assigned((0..PARTITIONS).collect()));
            return true;
        }
        let polled = self.polled.get();
        self.polled.set(polled + 1);
        let partition = (polled / RUN % PARTITIONS as u64) as i32;
        let next = &mut self.inputs.borrow_mut()[partition as usize];
        let Some(offset) = next else { return false };
        self.next_key(partition);
        let key = self.key.borrow();
        let record = Record {
            partition,
            offset: *offset,
            timestamp: 1_767_225_600_000,
            key: Some(key.as_bytes()),
            value: Some(b"2026-01-01T00:00:00.000Z"),
            headers: Headers::default(),
        };
        *offset += 1;
        let source = SourceIx::new(0);
        on(Event::Record { source, record });
        true
    }

    fn assign(&self, partition: i32, offsets: &[i64]) -> Result<(), Error> {
        self.inputs.borrow_mut()[partition as usize] = Some(offsets[0]);
        Ok(())
    }

    fn unassign(&self, partition: i32) -> Result<(), Error> {
        self.inputs.borrow_mut()[partition as usize] = None;
        Ok(())
    }

    fn commit(&self, _positions: &[Position]) -> Result<(), CommitError> {
        Ok(())
    }

    fn begin_commit(&self, _positions: &[Position]) {
        self.committing.set(true);
    }

    fn commit_outcome(&self) -> Option<Result<(), CommitError>> {
        self.committing.replace(false).then_some(Ok(()))
    }

    fn committed(&self, _partition: i32) -> Result<GroupOffsets, Error> {
        Ok(GroupOffsets {
            sources: vec![None],
            changelog: None,
        })
    }

    fn bounds(&self, _source: SourceIx, _partition: i32) -> Result<(i64, i64), Error> {
        Ok((0, 0))
    }
}

impl Producer for Nowhere {
    fn partitions(&self, _target: EdgeIx) -> i32 {
        PARTITIONS
    }

    fn record_max(&self) -> usize {
        1_000_000
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        let end = &mut self.rows.borrow_mut()[record.partition as usize];
        let result = Ok(*end);
        if record.tag >> 1 & 3 == Sent::Row as u32 {
            *end += 1;
            self.written.set(self.written.get() + 1);
        }
        let tag = record.tag;
        self.reports.borrow_mut().push(Report { tag, result });
        Ok(())
    }

    fn serve(&self, _wait: Duration, on: &mut dyn FnMut(Report)) {
        self.reports.borrow_mut().drain(..).for_each(on);
    }

    fn in_flight(&self) -> usize {
        self.reports.borrow().len()
    }
}

impl Transactions for Nowhere {
    fn commit_transaction(&self, _positions: &[Position]) {
        self.committing.set(true);
    }

    fn transaction(&self) -> Option<Result<(), Error>> {
        self.committing.replace(false).then_some(Ok(()))
    }
}

impl Kafka for Nowhere {
    fn table(&self) -> Option<&dyn Reader> {
        Some(self)
    }
}

/// Reads the changelog, which is empty.
impl Reader for Nowhere {
    fn start(&self, partition: i32, _from: i64) -> Result<(), Error> {
        self.ended.borrow_mut().push(partition);
        Ok(())
    }
    fn stop(&self, _partition: i32) -> Result<(), Error> {
        Ok(())
    }
    fn poll(&self, _wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool {
        let Some(partition) = self.ended.borrow_mut().pop() else {
            return false;
        };
        on(TableEvent::End { partition });
        true
    }
    fn bounds(&self, _partition: i32) -> Result<(i64, i64), Error> {
        Ok((0, 0))
    }
}

const KEYS: u64 = 2_000;
/// Maximum number of allocations for a thousand records. Only a commit interval allocates: for its positions, and for
/// LMDB's transaction. Commit intervals are a thousand times less frequent than records.
const PER_THOUSAND_RECORDS: u64 = 5;

fn allocations<P: Processor>(processor: P, guarantee: Guarantee) -> u64 {
    let mut engine = Engine::start(processor, guarantee, KEYS);
    // These records let the buffers grow to their final size. The buffers are then reused.
    engine.handle(200_000);
    let counted = allocation_counter::measure(|| engine.handle(100_000));
    counted.count_total
}

#[test]
fn a_record_allocates_nothing() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let counted = allocations(count::Processor, guarantee);
        assert!(
            counted <= 100 * PER_THOUSAND_RECORDS,
            "{guarantee:?}: 100,000 records of a counter made {counted} allocations"
        );
        let counted = allocations(coalesced::Processor, guarantee);
        assert!(
            counted <= 100 * PER_THOUSAND_RECORDS,
            "{guarantee:?}: 100,000 records whose rows are coalesced made {counted} allocations"
        );
        let counted = allocations(warn::Processor, guarantee);
        assert!(
            counted <= 100 * PER_THOUSAND_RECORDS,
            "{guarantee:?}: 100,000 records with a message each made {counted} allocations"
        );
    }
}

#[test]
fn a_coalesced_row_is_written_once_a_key_and_interval() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut engine = Engine::start(coalesced::Processor, guarantee, KEYS);
        engine.handle(100_000);
        let (handled, written) = (engine.status.handled_so_far(), engine.written.get());
        // A commit interval has about fifteen records of each key.
        assert!(
            written >= KEYS,
            "{guarantee:?}: {written} rows were written for {KEYS} keys"
        );
        assert!(
            written * 10 <= handled,
            "{guarantee:?}: {written} rows were written for {handled} records"
        );
    }
}

/// Measures how much CPU time the engine alone takes for a record. Run this test by hand on Linux, in a release build:
/// `cargo test --release -p goka --lib sim::cost -- --ignored --nocapture`. A build without optimizations processes
/// only a hundredth of the records, so that a run with `--include-ignored` only checks that the code works.
#[test]
#[ignore = "a measurement that cannot fail"]
fn a_record_takes_time() {
    let busy = || {
        let text =
            fs::read_to_string("/proc/thread-self/schedstat").expect("/proc must exist on Linux");
        let nanoseconds = text
            .split(' ')
            .next()
            .and_then(|first| first.parse::<u64>().ok());
        nanoseconds.expect("the file must begin with a number")
    };
    let keys = env::var("KEYS").ok().and_then(|keys| keys.parse().ok());
    let mut engine = Engine::start(
        count::Processor,
        Guarantee::AtLeastOnce,
        keys.unwrap_or(50_000),
    );
    let records = if cfg!(debug_assertions) {
        5_000
    } else {
        500_000
    };
    engine.handle(records);
    let mut said = String::new();
    for _ in 0..9 {
        let began = busy();
        engine.handle(records);
        let _ = write!(said, " {}", (busy() - began) / records);
    }
    println!("nanoseconds per record:{said}");
}
