//! Tests of replicas, turn by turn, on a Kafka in memory.

mod changes;
mod committed;
mod lent;

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{Keeper, Replica, Spec};
use crate::{
    base::{error::Error, index::EdgeIx, kind::Kind, partitioner::Partitioner},
    engine::replica::tables::Tables,
    sim::{
        kafka::{Settings, World},
        parts,
    },
    store::{Options, StateDir},
};

const TABLE: &str = "clicks-state";
const SECOND: Duration = Duration::from_secs(1);

struct Stage {
    world: World,
    dir: TempDir,
    partitions: i32,
}

impl Stage {
    /// A table of two partitions.
    fn new() -> Self {
        Self::of(2)
    }

    fn of(partitions: i32) -> Self {
        let world = World::new(Settings::default());
        world.create_topic(TABLE, partitions);
        let dir = tempfile::tempdir().unwrap();
        Stage {
            world,
            dir,
            partitions,
        }
    }

    fn spec(&self) -> Spec {
        Spec {
            _lock: Arc::new(StateDir::open(&self.dir.path().join("state"), true).unwrap()),
            dir: self.dir.path().join("replica"),
            identity: parts::identity(TABLE, self.partitions),
            options: Options {
                map_size: 1 << 30,
                wait: Duration::ZERO,
                ..parts::options()
            },
            partitioner: Partitioner::Murmur2,
            age_max_ms: None,
            forgets_rows: false,
            metadata_interval: Duration::from_secs(60),
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

    fn turn(&self, keeper: &mut Keeper) -> Result<(), Error> {
        self.world.advance(SECOND);
        keeper.turn(Duration::ZERO, self.world.now(), 0)
    }

    /// Takes more turns than any of these tests needs.
    fn turns(&self, keeper: &mut Keeper) -> Result<(), Error> {
        (0..20).try_for_each(|_| self.turn(keeper))
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
    assert!(
        replica.snapshot(0).is_err(),
        "a partition without readers must not be readable"
    );

    let wanted = replica.want(1);
    assert!(
        !replica.is_up_to_date(1),
        "the replica must not be up to date before the keeper's first turn"
    );
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(1));
    assert!(!replica.is_up_to_date(0));
    assert_eq!(get(&replica, 1, "b").as_deref(), Some("2"));
    assert!(!stage.dir.path().join("replica/0").exists());

    // New records are applied.
    stage.put(1, "b", None);
    stage.put(1, "c", Some("3"));
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 1, "b"), None);
    assert_eq!(get(&replica, 1, "c").as_deref(), Some("3"));
    drop(wanted);
}

#[test]
fn a_table_of_another_partitioner_is_refused_with_the_one_that_fits() {
    let stage = Stage::of(8);
    for key in (0..200).map(|n| format!("user-{n}")) {
        let partition = Partitioner::Fnv1a.partition(key.as_bytes(), 8);
        stage.put(partition, &key, Some("1"));
    }
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    let refused = stage.turns(&mut keeper).unwrap_err().to_string();
    for part in [TABLE, "`fnv1a` chose", "write `partitioner = fnv1a`"] {
        assert!(
            refused.contains(part),
            "the error must contain `{part}`: {refused}"
        );
    }
}

#[test]
fn a_partition_stays_open_until_nobody_wants_it() {
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
    assert!(
        replica.snapshot(0).is_err(),
        "a closed partition must not be readable"
    );

    // While the local copy is closed, nothing is read. Afterwards, only the new records are read.
    stage.put(0, "b", Some("2"));
    stage.world.compact(TABLE, 0).unwrap();
    stage.turns(&mut keeper).unwrap();
    let _wanted = replica.want(0);
    assert!(
        !replica.is_up_to_date(0),
        "the earlier state of the replica must not count"
    );
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("2"));
}

#[test]
fn a_partition_that_is_wanted_again_in_time_is_never_closed() {
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
fn a_copy_that_was_closed_reads_only_new_records() {
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
fn a_copy_whose_records_were_deleted_is_rebuilt() {
    let stage = Stage::new();
    stage.put(0, "old", Some("1"));
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    drop(wanted);
    stage.turns(&mut keeper).unwrap();

    // Records that were never read here are deleted; a tombstone of `old` may be among them.
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
    assert!(
        replica.state(0).is_some(),
        "the local copy must be readable"
    );
    assert!(!replica.is_up_to_date(0));
    stage.world.advance(60 * SECOND);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
}

#[test]
fn after_a_failure_local_copies_can_still_be_read() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (replica, mut keeper) = stage.open();
    let wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    keeper.close(0).unwrap();
    drop((wanted, replica));

    // The embedded broker deletes rows that no local copy has. The local copy can then not be rebuilt.
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

    // For a handler, the failure is an error.
    replica.fail(failed);
    let tables = Tables::new(vec![Some((Kind::Join, Arc::new(replica)))]);
    let error = tables.read(EdgeIx::new(0), 0, b"a", |_| ()).unwrap_err();
    assert!(error.to_string().contains("begins at offset 2"), "{error}");
    assert!(matches!(error, Error::Stale { .. }), "{error}");
}

#[test]
fn a_partition_that_is_wanted_and_up_to_date_can_be_read_while_other_readers_come_and_go() {
    let stage = Stage::new();
    stage.put(0, "a", Some("0"));
    stage.put(1, "a", Some("1"));
    let (replica, mut keeper) = stage.open();
    let replica = &replica;
    std::thread::scope(|scope| {
        let readers = [0, 1, 1, 0].map(|partition| {
            scope.spawn(move || {
                for _ in 0..50 {
                    let _wanted = replica.want(partition);
                    while !replica.is_up_to_date(partition) {
                        std::thread::yield_now();
                    }
                    let value = get(replica, partition, "a");
                    assert_eq!(value.as_deref(), Some(["0", "1"][partition as usize]));
                }
            })
        });
        while readers.iter().any(|reader| !reader.is_finished()) {
            stage.world.advance(SECOND);
            let turned = keeper.turn(Duration::ZERO, stage.world.now(), 0);
            turned.unwrap();
        }
    });
}
