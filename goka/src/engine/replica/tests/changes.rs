//! Tests of what a replica reports: changed rows, progress, and age.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{SECOND, Stage, TABLE, get};
use crate::engine::replica::{Change, Keeper, Replica, Spec, Taken, board::Progress};

#[test]
fn changes_are_reported_after_they_are_visible() {
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

    // The last change of each key has to arrive, whichever changes became visible together.
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
fn a_rebuild_is_reported() {
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
fn progress_is_reported() {
    let stage = Stage::new();
    for n in 0..3 {
        stage.put(0, &n.to_string(), Some("1"));
    }
    let (replica, mut keeper) = stage.open();
    let _wanted = replica.want_all();
    assert_eq!(replica.progress(0), None);
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
        Some(Progress {
            visible,
            end,
            at_ms,
        })
    };
    assert_eq!(replica.progress(0), at(3, 3, 7));
    assert_eq!(replica.progress(1), at(0, 0, 0));

    stage.world.outage(300 * SECOND);
    stage.put(0, "more", Some("1"));
    turn(&mut keeper, 8);
    assert_eq!(replica.progress(0), at(3, 4, 7));
    stage.world.heal();
    turn(&mut keeper, 9);
    assert_eq!(replica.progress(0), at(4, 4, 9));
}

/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

/// A replica of a table whose tombstones are kept for a day.
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
    let progress = replica.progress(0).unwrap();
    assert_eq!(
        progress.at_ms, 0,
        "the time of the last row must not change without new rows"
    );
    keeper.close(100 * HOUR).unwrap();
    drop((wanted, replica));

    // The replica was closed for less than a day, so only new records are read; the old records are deleted.
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
fn rows_whose_tombstones_were_deleted_during_a_long_outage_do_not_come_back() {
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
    assert!(
        !replica.is_up_to_date(0),
        "during an outage, the replica must not be up to date"
    );
    // `a` was deleted; compaction has removed its row and, after a day, its tombstone.
    stage.put(0, "b", Some("2"));
    stage.world.delete_before(TABLE, 0, 1).unwrap();
    stage.world.heal();
    (0..20).for_each(|_| turn(&mut keeper, 31 * HOUR));
    assert!(replica.is_up_to_date(0));
    assert_eq!(get(&replica, 0, "a"), None);
    assert_eq!(get(&replica, 0, "b").as_deref(), Some("2"));
}
