//! Tests of one worker on the in-memory Kafka, turn by turn, for cases that a random simulation meets only by luck.

mod foreign;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    effects::Row,
    port::{
        Step,
        fault::{Fault, Planted},
    },
    program::{EdgeInfo, Failure, Program},
    spec::{Settings, Spec, TableSpec},
    worker::Worker,
};
use crate::{
    base::{
        config::{Guarantee, Start},
        error::Error,
        kind::Kind,
        options::TableOptions,
    },
    sim::{
        kafka::{Chance, ConnectionSpec, Point, Settings as WorldSettings, World},
        parts,
        scripted::Scripted,
    },
    store::{Identity, Options, Store},
};

const GROUP: &str = "last";
const INPUT: &str = "values";
const TABLE: &str = "last-state";
const TOPICS: [&str; 2] = [INPUT, TABLE];
/// A test fails after this many turns.
const TURNS_MAX: usize = 10_000;
/// The handler of a record with this key takes as many milliseconds as its value says.
const SLOW: &str = "slow";

thread_local! {
    /// The in-memory Kafka of the test on this thread. Slow handlers advance its clock.
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// A program that keeps the last value of each key.
fn last(coalesce: bool) -> Arc<dyn Program> {
    let edge = |kind, topic| EdgeInfo {
        options: TableOptions::DEFAULT.coalesce(coalesce),
        handler: "last",
        ..parts::edge(kind, topic)
    };
    let edges = vec![edge(Kind::Input, INPUT), edge(Kind::Table, TABLE)];
    Arc::new(Scripted::new(GROUP, edges, |_, record, effects, _| {
        let value = record.value.unwrap_or_default();
        if record.key == Some(SLOW.as_bytes()) {
            let millis = std::str::from_utf8(value).unwrap().parse().unwrap();
            let world = WORLD.with_borrow(Clone::clone);
            world.unwrap().advance(Duration::from_millis(millis));
        }
        let value = effects.encode(|out| {
            out.extend_from_slice(value);
            Ok::<(), Failure>(())
        });
        effects.set_row(Row::Put(value?));
        Ok(())
    }))
}

struct Stage {
    world: World,
    dir: TempDir,
    guarantee: Guarantee,
    map_size: usize,
    program: Arc<dyn Program>,
    /// The point at which a worker dies, and how often the worker has reached this point when it dies.
    dies_at: Option<(Point, u32)>,
    start: Option<Start>,
    partitions: i32,
    fault: Option<Fault>,
    /// Before a worker sends its n-th record, the earlier ones are written, and then a zombie's row with this value,
    /// for the key `a`.
    foreign_at: Option<(u32, &'static str)>,
}

impl Stage {
    fn new(guarantee: Guarantee) -> Self {
        Self::with_partitions(guarantee, 1)
    }

    fn with_partitions(guarantee: Guarantee, partitions: i32) -> Self {
        let world = World::new(WorldSettings {
            // With `chance`, answers take time, so that commits stay in flight for a while.
            chance: Chance::seeded(1),
            ..WorldSettings::default()
        });
        for topic in TOPICS {
            world.create_topic(topic, partitions);
        }
        WORLD.set(Some(world.clone()));
        Stage {
            world,
            dir: tempfile::tempdir().unwrap(),
            guarantee,
            map_size: 64 << 20,
            program: last(false),
            dies_at: None,
            start: None,
            partitions,
            fault: None,
            foreign_at: None,
        }
    }

    fn identity(&self) -> Identity {
        parts::identity(TABLE, self.partitions)
    }

    fn options(&self) -> Options {
        Options {
            map_size: self.map_size,
            wait: Duration::ZERO,
            ..parts::options()
        }
    }

    /// A worker with a directory of its own for local copies.
    fn worker(&self, name: &str) -> Worker {
        let (guarantee, dies_at) = (self.guarantee, self.dies_at);
        let passes = Cell::new(0);
        let zombie = self.zombie();
        let kafka = self.world.connect(ConnectionSpec {
            on_point: Some(Rc::new(move |point| match dies_at {
                _ if point == Point::Sends => {
                    zombie();
                    Ok(())
                }
                Some((at, nth)) if point == at => {
                    passes.set(passes.get() + 1);
                    match passes.get() == nth {
                        true => Err(Error::Closed("it")),
                        false => Ok(()),
                    }
                }
                _ => Ok(()),
            })),
            ..parts::connection(&*self.program, guarantee, name)
        });
        let settings = Settings {
            handler_max: Duration::from_secs(2),
            start: self.start,
            fault: Planted::new(self.fault),
            ..parts::settings(guarantee, &format!("{GROUP}-{name}"))
        };
        let spec = Spec {
            table: Some(TableSpec {
                options: self.options(),
                ..parts::table(self.dir.path().join(name), self.identity())
            }),
            ..parts::spec(Arc::clone(&self.program), settings)
        };
        Worker::new(spec, Box::new(kafka.unwrap()))
    }

    /// Called before a worker sends a record: see [`foreign_at`](Self::foreign_at).
    fn zombie(&self) -> impl Fn() + 'static {
        let (world, foreign_at) = (self.world.clone(), self.foreign_at);
        let sends = Cell::new(0);
        move || {
            sends.set(sends.get() + 1);
            if let Some((nth, value)) = foreign_at
                && sends.get() == nth
            {
                world.advance(Duration::from_secs(1));
                let value = Some(value.as_bytes());
                world.append(TABLE, 0, Some(b"a"), value).unwrap();
            }
        }
    }

    fn put(&self, key: &str, value: &str) {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        self.world.append(INPUT, 0, key, value).unwrap();
    }

    /// Opens the local copy of a worker that has ended.
    fn store(&self, name: &str) -> Store {
        let path = self.dir.path().join(name).join("0");
        let (store, _) = Store::open(&path, &self.identity(), &self.options()).unwrap();
        store
    }

    /// The local copy of a worker that has ended: its changelog offset and its rows.
    fn copy(&self, name: &str) -> (i64, BTreeMap<Vec<u8>, Vec<u8>>) {
        let store = self.store(name);
        let mut rows = BTreeMap::new();
        let snapshot = store.snapshot().unwrap();
        let scanned = snapshot.scan(&[], false, &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            true
        });
        scanned.unwrap();
        (store.position().changelog, rows)
    }

    /// The rows of the changelog before offset `until`.
    fn rows(&self, until: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let history = self.world.history(TABLE, 0).unwrap();
        let before = history.iter().filter(|row| row.offset < until);
        let row = |row: &Rc<_>| {
            let row: &crate::sim::kafka::Written = row;
            (row.key.clone().unwrap(), row.value.clone().unwrap())
        };
        before.map(row).collect()
    }
}

/// Calls `turn` of a worker until `done` returns `true`, or until a turn fails.
fn turns(worker: &mut Worker, mut done: impl FnMut(&Worker) -> bool) -> Result<(), Error> {
    for _ in 0..TURNS_MAX {
        if done(worker) {
            return Ok(());
        }
        worker.turn(Duration::from_millis(10))?;
    }
    panic!("the worker was not done after {TURNS_MAX} turns");
}

fn runs(worker: &Worker) -> bool {
    worker.partitions().any_running()
}

fn handled(worker: &Worker) -> u64 {
    worker.status().handled_so_far()
}

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

#[test]
fn the_next_interval_does_not_advance_past_an_interval_that_cannot_be_stored() {
    const BIG: usize = 200;
    for guarantee in BOTH {
        let stage = Stage {
            map_size: 256 << 10,
            ..Stage::new(guarantee)
        };
        let mut worker = stage.worker("one");
        turns(&mut worker, runs).unwrap();
        stage
            .world
            .slow_down(Duration::from_secs(60), Duration::from_secs(1));
        for number in 0..BIG {
            stage.put(&format!("big-{number}"), &"x".repeat(4096));
        }
        turns(&mut worker, |worker| {
            let mut partitions = worker.partitions().iter();
            partitions.any(|(_, partition)| partition.intervals().is_closing())
        })
        .unwrap();
        stage.put("small", "1");
        let failed = turns(&mut worker, |_| false).unwrap_err();
        assert!(matches!(failed, Error::State { .. }), "{failed}");
        assert_eq!(
            handled(&worker),
            BIG as u64 + 1,
            "the next commit interval must have begun"
        );
        // Whether the worker closes cleanly is not tested here.
        let _ = worker.close();
        let (until, rows) = stage.copy("one");
        assert!(
            rows == stage.rows(until),
            "{guarantee:?}: rows are missing below {until}"
        );
    }
}

#[test]
fn the_effects_of_a_handler_that_outlasts_its_session_are_dropped() {
    let stage = Stage::new(Guarantee::AtLeastOnce);
    let mut worker = stage.worker("one");
    turns(&mut worker, runs).unwrap();
    stage.put(SLOW, "20000");
    turns(&mut worker, |worker| !runs(worker)).unwrap();
    assert_eq!(
        handled(&worker),
        0,
        "the effects of the slow handler must not be sent"
    );
}

#[test]
fn an_error_names_the_handler_that_takes_too_long_for_its_transaction() {
    let stage = Stage::new(Guarantee::ExactlyOnce);
    let mut worker = stage.worker("one");
    turns(&mut worker, runs).unwrap();
    stage.put("fast", "1");
    turns(&mut worker, |worker| handled(worker) == 1).unwrap();
    stage.put(SLOW, "3000");
    let failed = turns(&mut worker, |_| false).unwrap_err().to_string();
    for part in [
        "handler `last` took 3000 ms",
        "topic `values`, partition 0, offset 1",
        "raise `transaction.timeout.ms`",
    ] {
        assert!(failed.contains(part), "{failed}");
    }
    let slow: &[u8] = SLOW.as_bytes();
    assert!(
        !stage.rows(i64::MAX).contains_key(slow),
        "the effects of the slow handler must not be applied"
    );
}

/// Only for at-least-once: under exactly-once, the group's committed offset always counts.
#[test]
fn every_instance_resumes_where_an_operator_has_reset_the_group() {
    let ends = [Step::Handled, Step::Delivered, Step::Storing, Step::Stored];
    let ends = ends.map(|step| (Point::Reached(step), 1));
    let asks = (1..=20).map(|nth| (Point::Asks, nth));
    for dies_at in ends.into_iter().chain(asks) {
        for next in ["one", "two"] {
            let mut stage = Stage::new(Guarantee::AtLeastOnce);
            // Both instances handle records, so that the local copies of both instances lag behind the changelog.
            for name in ["one", "two"] {
                let mut worker = stage.worker(name);
                (0..10).for_each(|number| stage.put(&format!("{name}-{number}"), "1"));
                turns(&mut worker, |worker| handled(worker) == 10).unwrap();
                worker.close().unwrap();
            }
            stage.world.set_offset(GROUP, INPUT, 0, 5);
            // The worker dies while it claims its partition at the reset offset, or soon after the claim.
            stage.dies_at = Some(dies_at);
            let mut worker = stage.worker("one");
            // It is possible that a worker with a dead connection neither fails nor makes progress: limit the number
            // of turns.
            let turn = |_| worker.turn(Duration::from_millis(10)).is_err() || handled(&worker) > 0;
            let _ = (0..1000).any(turn);
            let was_handled = handled(&worker) > 0;
            drop(worker);
            stage.world.advance(Duration::from_secs(60));
            stage.dies_at = None;
            let mut worker = stage.worker(next);
            turns(&mut worker, runs).unwrap();
            turns(&mut worker, |worker| {
                let partition = worker.partitions().get(0);
                partition.is_some_and(|partition| partition.feed().fetched() == [20])
            })
            .unwrap();
            // If the worker handled records before it died, it may have committed some of them.
            let least = if was_handled { 1 } else { 15 };
            let left = least..=15;
            assert!(
                left.contains(&handled(&worker)),
                "{dies_at:?} {next}: {}",
                handled(&worker)
            );
        }
    }
}

#[test]
fn no_offset_is_committed_past_a_coalesced_row_that_the_broker_refuses() {
    for guarantee in BOTH {
        let stage = Stage {
            program: last(true),
            ..Stage::new(guarantee)
        };
        let mut worker = stage.worker("one");
        turns(&mut worker, runs).unwrap();
        stage.world.refuse(Some(TABLE));
        stage.put("key", "1");
        turns(&mut worker, |_| false).unwrap_err();
        // Whether the worker closes cleanly is not tested here.
        let _ = worker.close();
        let committed = stage.world.committed(GROUP, INPUT, 0);
        assert_eq!(committed.map_or(0, |committed| committed.offset), 0);
        assert_eq!(stage.copy("one"), (0, BTreeMap::new()), "{guarantee:?}");
    }
}

#[test]
fn a_partly_restored_copy_keeps_its_time() {
    for guarantee in BOTH {
        let mut stage = Stage::new(guarantee);
        let mut worker = stage.worker("one");
        stage.put("key", "1");
        turns(&mut worker, |worker| handled(worker) == 1).unwrap();
        worker.close().unwrap();
        let before = stage.store("one").position().clone();
        // An operator commits an offset, so that the rows below are not those of a tail.
        stage.world.set_offset(GROUP, INPUT, 0, 0);
        // More rows than one batch of the restore contains.
        for number in 0..200 {
            let (key, value) = (format!("big-{number}"), "x".repeat(60_000));
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            stage.world.append(TABLE, 0, key, value).unwrap();
        }
        stage.world.advance(Duration::from_secs(60));
        stage.dies_at = Some((Point::Reached(Step::Replaying), 1));
        turns(&mut stage.worker("one"), |_| false).unwrap_err();
        let after = stage.store("one").position().clone();
        assert!(
            after.changelog > before.changelog,
            "a part of the changelog must be stored"
        );
        assert_eq!(after.at_ms, before.at_ms, "{guarantee:?}");
        stage.dies_at = None;
        let mut worker = stage.worker("one");
        turns(&mut worker, runs).unwrap();
        drop(worker);
        assert!(stage.store("one").position().at_ms >= before.at_ms + 60_000);
    }
}

/// Brokers expire the offsets of topics that a group does not subscribe to, even while the group has members. After
/// the offsets have expired, a restart would handle an idle partition from its beginning.
#[test]
fn positions_of_a_quiet_partition_are_committed_again_beside_a_busy_one() {
    for guarantee in BOTH {
        let stage = Stage::with_partitions(guarantee, 2);
        let mut worker = stage.worker("one");
        let (key, value) = (Some(&b"quiet"[..]), Some(&b"1"[..]));
        stage.world.append(INPUT, 1, key, value).unwrap();
        turns(&mut worker, |worker| handled(worker) == 1).unwrap();
        let until = stage.world.now() + Duration::from_secs(90);
        let (mut last, mut silent) = (0, Duration::ZERO);
        let mut heard = stage.world.now();
        while stage.world.now() < until {
            stage.put("busy", "1");
            stage.world.advance(Duration::from_millis(200));
            worker.turn(Duration::from_millis(10)).unwrap();
            let commits = stage.world.commits();
            let quiet = commits.iter().filter(|entry| entry.partition == 1);
            let count = quiet.count();
            if count > last {
                (last, heard) = (count, stage.world.now());
            }
            silent = silent.max(stage.world.now() - heard);
        }
        assert!(
            handled(&worker) > 100,
            "the other partition must process records meanwhile"
        );
        assert!(
            silent < Duration::from_secs(30),
            "{guarantee:?}: the quiet partition was not committed for {silent:?}"
        );
    }
}

/// The delivery of the first tombstones fails. The other partition must not send its tombstones while the transaction
/// is being aborted: its tombstones would wait for ever.
#[test]
fn a_reset_that_fails_begins_again_once_the_transaction_is_aborted() {
    for guarantee in BOTH {
        let stage = Stage {
            start: Some(Start::Reset),
            ..Stage::with_partitions(guarantee, 2)
        };
        for (partition, key) in [(0, "zero"), (1, "one")] {
            let (key, value) = (Some(key.as_bytes()), Some(&b"1"[..]));
            stage.world.append(TABLE, partition, key, value).unwrap();
        }
        stage.world.fail_deliveries("one", 1, false);
        let mut worker = stage.worker("one");
        let is_through = |worker: &Worker| {
            let mut partitions = worker.partitions().iter();
            partitions.all(|(_, partition)| partition.is_running()) && runs(worker)
        };
        turns(&mut worker, is_through).unwrap();
        worker.close().unwrap();
        for (partition, key) in [(0, "zero"), (1, "one")] {
            let history = stage.world.history(TABLE, partition).unwrap();
            let last = history
                .iter()
                .rfind(|row| row.key.as_deref() == Some(key.as_bytes()));
            assert_eq!(
                last.unwrap().value,
                None,
                "{guarantee:?}: the row `{key}` must be deleted"
            );
        }
    }
}
