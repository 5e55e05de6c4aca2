//! A replica and what it promises to those who want partitions of it, turn by turn, on a Kafka in
//! memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{Change, Keeper, Replica, Spec, Standing, Taken};
use crate::{
    Error, Partitioner,
    kafka::memory::{Settings, World},
    store::{Identity, Options, StateDir},
};

const TABLE: &str = "clicks-state";
const SECOND: Duration = Duration::from_secs(1);

struct Stage {
    world: World,
    dir: TempDir,
}

impl Stage {
    /// A table of two partitions.
    fn new() -> Self {
        let world = World::new(Settings::default());
        world.create_topic(TABLE, 2);
        let dir = tempfile::tempdir().unwrap();
        Stage { world, dir }
    }

    fn spec(&self) -> Spec {
        Spec {
            _lock: Arc::new(StateDir::open(&self.dir.path().join("state"), true).unwrap()),
            dir: self.dir.path().join("replica"),
            identity: Identity {
                cluster: "memory".to_owned(),
                topic: TABLE.to_owned(),
                topic_id: String::new(),
                partition: 0,
                partitions: 2,
                codec: "Bytes".to_owned(),
            },
            options: Options {
                map_size: 1 << 30,
                wait: Duration::ZERO,
            },
            partitioner: Partitioner::Murmur2,
            age_max_ms: None,
            forgets_rows: false,
        }
    }

    fn open(&self) -> (Replica, Keeper) {
        let replica = Replica::without_thread(self.spec());
        let keeper = replica.keeper(self.world.reader(TABLE));
        (replica, keeper)
    }

    fn put(&self, partition: i32, key: &str, value: Option<&str>) -> i64 {
        let value = value.map(str::as_bytes);
        let appended = self
            .world
            .append(TABLE, partition, Some(key.as_bytes()), value);
        appended.unwrap()
    }

    /// Some turns, more than anything here takes.
    fn turns(&self, keeper: &mut Keeper) -> Result<(), Error> {
        (0..20).try_for_each(|_| {
            self.world.advance(SECOND);
            keeper.turn(Duration::ZERO, self.world.now(), 0)
        })
    }
}

fn get(replica: &Replica, partition: i32, key: &str) -> Option<String> {
    let snapshot = replica.snapshot(partition).unwrap();
    let value = snapshot.get(key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn only_what_is_wanted_is_read() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    stage.put(1, "b", Some("2"));
    let (replica, mut keeper) = stage.open();
    stage.turns(&mut keeper).unwrap();
    assert_eq!(replica.state(0), None);
    assert!(replica.snapshot(0).is_err(), "nobody wants it");

    let wanted = replica.want(1);
    assert!(!replica.is_up_to_date(1), "no turn was taken");
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(1));
    assert!(!replica.is_up_to_date(0));
    assert_eq!(get(&replica, 1, "b").as_deref(), Some("2"));
    assert!(!stage.dir.path().join("replica/0").exists());

    // It is followed.
    stage.put(1, "b", None);
    stage.put(1, "c", Some("3"));
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 1, "b"), None);
    assert_eq!(get(&replica, 1, "c").as_deref(), Some("3"));
    drop(wanted);
}

#[test]
fn a_partition_stays_until_the_last_who_wants_it_is_gone() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (replica, mut keeper) = stage.open();
    let (first, all) = (replica.want(0), replica.want_all());
    stage.turns(&mut keeper).unwrap();
    drop(first);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0) && replica.is_up_to_date(1));

    drop(all);
    stage.turns(&mut keeper).unwrap();
    assert_eq!((replica.state(0), replica.state(1)), (None, None));
    assert!(replica.snapshot(0).is_err(), "it is closed");

    // Meanwhile nothing is read; then the local copy is topped up, not read again.
    stage.put(0, "b", Some("2"));
    stage.world.compact(TABLE, 0).unwrap();
    stage.turns(&mut keeper).unwrap();
    let _wanted = replica.want(0);
    assert!(
        !replica.is_up_to_date(0),
        "what it was before counts no more"
    );
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("2"));
}

#[test]
fn wanted_again_in_time_it_is_never_closed() {
    let stage = Stage::new();
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    drop(wanted);
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
}

#[test]
fn a_copy_is_topped_up_after_it_was_closed() {
    let stage = Stage::new();
    for n in 0..100 {
        stage.put(n % 2, &format!("key-{n}"), Some("1"));
    }
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want_all();
    stage.turns(&mut keeper).unwrap();
    keeper.close(0).unwrap();
    drop((wanted, replica));

    // What was read before is gone from the topic.
    stage.world.delete_before(TABLE, 0, 50).unwrap();
    stage.put(0, "last", Some("2"));
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 0, "key-0").as_deref(), Some("1"));
    assert_eq!(get(&replica, 0, "last").as_deref(), Some("2"));
}

#[test]
fn what_was_cut_off_is_read_anew() {
    let stage = Stage::new();
    stage.put(0, "old", Some("1"));
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    drop(wanted);
    stage.turns(&mut keeper).unwrap();

    // Rows that were never read here are cut off, so that a deletion of `old` may be among them.
    for _ in 0..5 {
        stage.put(0, "gone", Some("2"));
    }
    stage.put(0, "new", Some("3"));
    stage.world.delete_before(TABLE, 0, 6).unwrap();
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "old"), None);
    assert_eq!(get(&replica, 0, "new").as_deref(), Some("3"));
}

#[test]
fn an_outage_is_waited_out() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    stage.world.outage(60 * SECOND);
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.state(0).is_some(), "what is there can be read");
    assert!(!replica.is_up_to_date(0));
    stage.world.advance(60 * SECOND);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
}

#[test]
fn a_failure_leaves_what_is_there_to_readers() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    keeper.close(0).unwrap();
    drop((wanted, replica));

    // The embedded broker forgets rows that are in no local copy: no state to rebuild.
    stage.put(0, "gone", Some("2"));
    stage.put(0, "b", Some("3"));
    stage.world.delete_before(TABLE, 0, 2).unwrap();
    let replica = Replica::without_thread(Spec {
        forgets_rows: true,
        ..stage.spec()
    });
    let mut keeper = replica.keeper(stage.world.reader(TABLE));
    let _wanted = replica.want(0);
    let failed = stage.turns(&mut keeper).unwrap_err().to_string();
    assert!(failed.contains("begins at offset 2"), "{failed}");
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
}

#[test]
fn changes_are_told_after_they_are_visible() {
    let stage = Stage::new();
    stage.put(0, "before", Some("0"));
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    stage.turns(&mut keeper).unwrap();

    let (feed, mut watch) = (replica.feed(), replica.watch(b"a"));
    let other = replica.watch(b"other");
    stage.put(0, "a", Some("1"));
    stage.put(1, "b", Some("2"));
    stage.put(0, "a", Some("3"));
    stage.put(1, "b", None);
    while !watch.has_changed().unwrap() {
        assert_eq!(get(&replica, 0, "a"), None);
        stage.world.advance(SECOND);
        keeper.turn(Duration::ZERO, stage.world.now(), 0).unwrap();
    }
    watch.mark_unchanged();
    assert!(get(&replica, 0, "a").is_some());
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("3"));
    assert!(!other.has_changed().unwrap());

    // The last one of each key, whatever became visible at once.
    let mut told = BTreeMap::new();
    while let Some(taken) = feed.take() {
        let Taken::Change(change) = taken else {
            panic!("{taken:?}");
        };
        let Change::Row(key, value) = &*change else {
            panic!("{change:?}");
        };
        told.insert(key.to_vec(), value.as_ref().map(|value| value.to_vec()));
    }
    let expected = [(b"a".to_vec(), Some(b"3".to_vec())), (b"b".to_vec(), None)];
    assert_eq!(told, BTreeMap::from(expected));
}

#[test]
fn a_rebuild_is_told() {
    let stage = Stage::new();
    stage.put(0, "old", Some("1"));
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    stage.turns(&mut keeper).unwrap();
    let (feed, watch) = (replica.feed(), replica.watch(b"old"));

    stage.world.outage(10 * SECOND);
    for n in 0..5 {
        stage.put(0, &format!("gone-{n}"), Some("2"));
    }
    stage.put(0, "new", Some("3"));
    stage.world.delete_before(TABLE, 0, 6).unwrap();
    stage.turns(&mut keeper).unwrap();
    stage.turns(&mut keeper).unwrap();
    assert!(watch.has_changed().unwrap());
    let rebuilt = Taken::Change(Arc::new(Change::Rebuilt(0)));
    assert_eq!(feed.take(), Some(rebuilt));
    let row = Change::Row((*b"new").into(), Some((*b"3").into()));
    assert_eq!(feed.take(), Some(Taken::Change(Arc::new(row))));
    assert_eq!(feed.take(), None);
}

#[test]
fn where_it_stands_is_told() {
    let stage = Stage::new();
    for n in 0..3 {
        stage.put(0, &n.to_string(), Some("1"));
    }
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    assert_eq!(replica.standing(0), None);
    let turn = |keeper: &mut Keeper, at_ms| {
        (0..20).for_each(|_| {
            stage.world.advance(SECOND);
            keeper
                .turn(Duration::ZERO, stage.world.now(), at_ms)
                .unwrap();
        });
    };
    turn(&mut keeper, 7);
    let at = |visible, end, at_ms| {
        Some(Standing {
            visible,
            end,
            at_ms,
        })
    };
    assert_eq!(replica.standing(0), at(3, 3, 7));
    assert_eq!(replica.standing(1), at(0, 0, 0));

    stage.world.outage(300 * SECOND);
    stage.put(0, "more", Some("1"));
    turn(&mut keeper, 8);
    assert_eq!(replica.standing(0), at(3, 4, 7));
    stage.world.heal();
    turn(&mut keeper, 9);
    assert_eq!(replica.standing(0), at(4, 4, 9));
}

/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

/// A copy of a table whose deletions are kept for a day.
fn aging(stage: &Stage) -> (Replica, Keeper) {
    let replica = Replica::without_thread(Spec {
        age_max_ms: Some(24 * HOUR),
        ..stage.spec()
    });
    let keeper = replica.keeper(stage.world.reader(TABLE));
    (replica, keeper)
}

#[test]
fn an_idle_table_does_not_age() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (replica, mut keeper) = aging(&stage);
    let wanted = replica.want(0);
    for hour in 0..100 {
        for _ in 0..3 {
            stage.world.advance(SECOND);
            let turned = keeper.turn(Duration::ZERO, stage.world.now(), hour * HOUR);
            turned.unwrap();
        }
    }
    assert!(replica.is_up_to_date(0));
    let standing = replica.standing(0).unwrap();
    assert_eq!(standing.at_ms, 0, "nothing was written in all the time");
    keeper.close(100 * HOUR).unwrap();
    drop((wanted, replica));

    // Closed for less than a day, it is topped up: what it read is gone from the topic.
    stage.world.delete_before(TABLE, 0, 1).unwrap();
    stage.put(0, "b", Some("2"));
    let (replica, mut keeper) = aging(&stage);
    let _wanted = replica.want(0);
    for _ in 0..20 {
        stage.world.advance(SECOND);
        let turned = keeper.turn(Duration::ZERO, stage.world.now(), 120 * HOUR);
        turned.unwrap();
    }
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("2"));
}

#[test]
fn deletions_that_were_forgotten_in_a_long_outage_do_not_come_back() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (replica, mut keeper) = aging(&stage);
    let _wanted = replica.want(0);
    let turn = |keeper: &mut Keeper, at_ms| {
        stage.world.advance(SECOND);
        let turned = keeper.turn(Duration::ZERO, stage.world.now(), at_ms);
        turned.unwrap();
    };
    (0..20).for_each(|_| turn(&mut keeper, 0));
    assert!(replica.is_up_to_date(0));

    stage.world.outage(1000 * SECOND);
    (0..30).for_each(|hour| turn(&mut keeper, hour * HOUR));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
    assert!(!replica.is_up_to_date(0), "nobody knows");
    // `a` was deleted, and compaction has taken its row and, after a day, the deletion.
    stage.put(0, "b", Some("2"));
    stage.world.delete_before(TABLE, 0, 1).unwrap();
    stage.world.heal();
    (0..20).for_each(|_| turn(&mut keeper, 31 * HOUR));
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a"), None);
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("2"));
}
