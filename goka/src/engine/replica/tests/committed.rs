//! Tests of replicas that have only rows that the group has committed.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::{SECOND, Stage, TABLE, get};
use crate::{
    base::{config::Guarantee, error::Error},
    engine::{
        cut::Cut,
        port::{Committed, Cuts, GroupCommits, GroupOffsets, Reader, TableEvent},
        replica::{Keeper, Replica, standby::Standby},
    },
};

/// The committed offsets of a group with the input `clicks`, as a test sets them.
#[derive(Clone, Default)]
struct Group(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    commits: GroupCommits,
    is_away: bool,
    asked: u32,
    answer: Option<Result<GroupCommits, Error>>,
}

impl Cuts for Group {
    fn ask(&self) {
        let mut state = self.0.borrow_mut();
        state.asked += 1;
        state.answer = Some(match state.is_away {
            true => Err(Error::kafka("fetch committed offsets", "it is away")),
            false => Ok(state.commits.clone()),
        });
    }

    fn answer(&self) -> Option<Result<GroupCommits, Error>> {
        self.0.borrow_mut().answer.take()
    }
}

impl Group {
    /// A group of two partitions without committed offsets.
    fn new() -> Self {
        let group = Self::default();
        group.0.borrow_mut().commits = GroupCommits {
            inputs: vec!["clicks".to_owned()],
            partitions: vec![
                GroupOffsets {
                    sources: vec![None],
                    changelog: None,
                };
                2
            ],
        };
        group
    }

    /// Commits a cut of partition 0: offset `changelog` of the changelog and of the input.
    fn commit(&self, guarantee: Guarantee, changelog: i64) {
        let cut = Cut {
            changelog,
            guarantee,
            is_clean: false,
            at_ms: 0,
        };
        let metadata = cut.metadata([("clicks", changelog)].into_iter());
        let committed = |metadata: &str| {
            Some(Committed {
                offset: changelog,
                metadata: metadata.to_owned(),
            })
        };
        self.0.borrow_mut().commits.partitions[0] = GroupOffsets {
            sources: vec![committed("goka one")],
            changelog: committed(&metadata),
        };
    }

    /// Commits only an offset of the input, as a client that knows no cuts does.
    fn commit_input(&self, offset: i64) {
        self.0.borrow_mut().commits.partitions[0].sources[0] = Some(Committed {
            offset,
            metadata: String::new(),
        });
    }

    fn set_away(&self, is_away: bool) {
        self.0.borrow_mut().is_away = is_away;
    }
}

fn open(stage: &Stage, group: &Group) -> (Replica, Keeper) {
    let replica = Replica::without_thread(stage.spec());
    let keeper = replica.committed_keeper(stage.world.reader(TABLE), Box::new(group.clone()));
    (replica, keeper)
}

const AT_LEAST_ONCE: Guarantee = Guarantee::AtLeastOnce;

#[test]
fn rows_behind_the_cut_are_held_back_until_the_group_commits() {
    let (stage, group) = (Stage::new(), Group::new());
    for value in ["1", "2", "3"] {
        stage.put(0, "a", Some(value));
    }
    group.commit(AT_LEAST_ONCE, 2);
    let (replica, mut keeper) = open(&stage, &group);
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0), "up to the cut");
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("2"));
    let progress = replica.progress(0).unwrap();
    assert_eq!((progress.visible, progress.end), (2, 3));

    // The rows become visible in their order, up to the new cut.
    stage.put(0, "a", None);
    stage.put(0, "b", Some("1"));
    group.commit(AT_LEAST_ONCE, 4);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 0, "a"), None);
    assert_eq!(get(&replica, 0, "b"), None);
    group.commit(AT_LEAST_ONCE, 5);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("1"));
    assert_eq!(replica.progress(0).unwrap().visible, 5);
}

#[test]
fn a_lent_copy_has_only_rows_before_the_cut() {
    let (stage, group) = (Stage::new(), Group::new());
    stage.put(0, "a", Some("1"));
    stage.put(0, "a", Some("2"));
    group.commit(AT_LEAST_ONCE, 1);
    let (replica, mut keeper) = open(&stage, &group);
    let standby = Standby::new(replica);
    stage.turns(&mut keeper).unwrap();
    assert!(standby.is_caught_up().unwrap(), "up to the cut");
    assert!(standby.promote(0).unwrap().is_none(), "it asks");
    stage.turn(&mut keeper).unwrap();
    let (loan, store) = standby.promote(0).unwrap().expect("it is released");
    let store = store.expect("it is open");
    assert_eq!(store.position().changelog, 1);
    assert_eq!(
        store.snapshot().unwrap().get(b"a").unwrap(),
        Some(&b"1"[..])
    );

    // The copy that comes back is continued, and rows behind the cut are held back again.
    loan.give_back(store);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(standby.replica(), 0, "a").as_deref(), Some("1"));
    group.commit(AT_LEAST_ONCE, 2);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(standby.replica(), 0, "a").as_deref(), Some("2"));
}

#[test]
fn nothing_is_held_back_without_a_cut_that_may_be_undone() {
    let rows = |prepare: &dyn Fn(&Group)| {
        let (stage, group) = (Stage::new(), Group::new());
        stage.put(0, "a", Some("1"));
        prepare(&group);
        let (replica, mut keeper) = open(&stage, &group);
        let _wanted = replica.want(0);
        stage.turns(&mut keeper).unwrap();
        assert!(replica.is_up_to_date(0));
        assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
        stage.put(0, "a", Some("2"));
        stage.turns(&mut keeper).unwrap();
        assert_eq!(get(&replica, 0, "a").as_deref(), Some("2"));
    };
    rows(&|_| {});
    rows(&|group| group.commit_input(7));
    rows(&|group| group.commit(Guarantee::ExactlyOnce, 0));
    // Another client has moved the offset of the input since the cut.
    rows(&|group| {
        group.commit(AT_LEAST_ONCE, 0);
        group.commit_input(7);
    });
}

#[test]
fn rows_of_a_new_group_wait_for_a_newer_answer() {
    let (stage, group) = (Stage::new(), Group::new());
    let (replica, mut keeper) = open(&stage, &group);
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));

    // The group is asked, then claims the partition and writes a row. The answer knows nothing of the claim.
    let turn = |keeper: &mut Keeper| {
        stage.world.advance(Duration::from_millis(150));
        keeper.turn(Duration::ZERO, stage.world.now(), 0).unwrap();
    };
    let asked = group.0.borrow().asked;
    while group.0.borrow().asked == asked {
        turn(&mut keeper);
    }
    group.commit(AT_LEAST_ONCE, 0);
    stage.put(0, "a", Some("1"));
    for _ in 0..10 {
        turn(&mut keeper);
        assert_eq!(get(&replica, 0, "a"), None);
    }
    group.commit(AT_LEAST_ONCE, 1);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
}

#[test]
fn rows_are_held_back_while_the_group_does_not_answer() {
    let (stage, group) = (Stage::new(), Group::new());
    stage.put(0, "a", Some("1"));
    group.commit(AT_LEAST_ONCE, 1);
    group.set_away(true);
    let (replica, mut keeper) = open(&stage, &group);
    let _wanted = replica.want(0);
    stage.turns(&mut keeper).unwrap();
    assert!(!replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a"), None);
    group.set_away(false);
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a").as_deref(), Some("1"));
}

#[test]
fn beyond_a_bound_the_changelog_is_not_read_until_the_group_commits() {
    let (stage, group) = (Stage::new(), Group::new());
    let large = "x".repeat(1 << 20);
    group.commit(AT_LEAST_ONCE, 0);
    let replica = Replica::without_thread(stage.spec());
    let reader = Counting {
        reader: stage.world.reader(TABLE),
        rows: Rc::default(),
    };
    let rows = reader.rows.clone();
    let mut keeper = replica.committed_keeper(Box::new(reader), Box::new(group.clone()));
    let _wanted = replica.want(0);
    for n in 0..100 {
        stage.put(0, &format!("key-{n}"), Some(&large));
    }
    stage.turns(&mut keeper).unwrap();
    assert!(replica.is_up_to_date(0), "up to the cut");
    let progress = replica.progress(0).unwrap();
    assert_eq!((progress.visible, progress.end), (0, 100));
    assert_eq!(rows.get(), 64, "64 MiB");

    group.commit(AT_LEAST_ONCE, 100);
    stage.turns(&mut keeper).unwrap();
    assert_eq!(replica.progress(0).unwrap().visible, 100);
    assert_eq!(rows.get(), 100, "no row is read twice");
    for n in 0..100 {
        let row = get(&replica, 0, &format!("key-{n}"));
        assert_eq!(row.map(|row| row.len()), Some(1 << 20), "key-{n}");
    }
}

#[test]
fn a_copy_whose_rows_are_held_back_is_as_old_as_these_rows() {
    let (stage, group) = (Stage::new(), Group::new());
    stage.put(0, "a", Some("1"));
    group.commit(AT_LEAST_ONCE, 1);
    let (replica, mut keeper) = open(&stage, &group);
    let _wanted = replica.want(0);
    let turns = |keeper: &mut Keeper, at_ms: i64| {
        for _ in 0..4 {
            stage.world.advance(SECOND);
            keeper
                .turn(Duration::ZERO, stage.world.now(), at_ms)
                .unwrap();
        }
    };
    turns(&mut keeper, 1_000);
    stage.put(0, "a", Some("2"));
    stage.put(0, "a", Some("3"));
    turns(&mut keeper, 2_000);
    group.commit(AT_LEAST_ONCE, 2);
    turns(&mut keeper, 3_000);
    keeper.close(0).unwrap();
    drop((_wanted, replica));
    let (replica, mut keeper) = open(&stage, &group);
    let _wanted = replica.want(0);
    stage.turn(&mut keeper).unwrap();
    let progress = replica.progress(0).unwrap();
    assert_eq!((progress.visible, progress.at_ms), (2, 2_000));
}

/// A reader that counts the rows that it returns.
struct Counting {
    reader: Box<dyn Reader>,
    rows: Rc<Cell<u32>>,
}

impl Reader for Counting {
    fn start(&self, partition: i32, from: i64) -> Result<(), Error> {
        self.reader.start(partition, from)
    }

    fn stop(&self, partition: i32) -> Result<(), Error> {
        self.reader.stop(partition)
    }

    fn poll(&self, wait: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool {
        self.reader.poll(wait, &mut |event| {
            let is_row = matches!(event, TableEvent::Record(_));
            self.rows.set(self.rows.get() + u32::from(is_row));
            on(event);
        })
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error> {
        self.reader.bounds(partition)
    }

    fn progress(&self, partition: i32) -> Option<(i64, i64)> {
        self.reader.progress(partition)
    }
}
