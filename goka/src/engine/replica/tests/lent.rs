//! Tests of standbys: loans of local copies.

use std::time::Duration;

use super::{Stage, TABLE, get};
use crate::{
    base::{error::Error, state::PartitionState},
    engine::{
        port::{Reader, TableEvent},
        replica::{Keeper, Loan, Replica, standby::Standby},
    },
    store::{Position, Store},
};

fn standby(stage: &Stage) -> (Standby, Keeper) {
    let (replica, keeper) = stage.open();
    (Standby::new(replica), keeper)
}

/// Asks for the local copy of a partition until it is lent, with turns of the keeper in between.
fn promoted(
    stage: &Stage,
    standby: &Standby,
    keeper: &mut Keeper,
    partition: i32,
) -> (Loan, Option<Store>) {
    for _ in 0..3 {
        match standby.promote(partition).unwrap() {
            Some(lent) => return lent,
            None => stage.turn(keeper).unwrap(),
        }
    }
    panic!("partition {partition} was not lent");
}

fn row(store: &Store, key: &str) -> Option<Vec<u8>> {
    let snapshot = store.snapshot().unwrap();
    snapshot.get(key.as_bytes()).unwrap().map(<[u8]>::to_vec)
}

/// Writes a row, as the owner of a partition does.
fn write(store: &mut Store, key: &str, value: &str, changelog: i64) {
    let mut batch = store.batch().unwrap();
    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
    let inputs = vec![("clicks".to_owned(), changelog)];
    let position = Position {
        changelog,
        inputs,
        at_ms: 0,
        ..Position::default()
    };
    batch.commit(position).unwrap();
}

#[test]
fn a_copy_is_lent_open_with_all_rows_that_were_read() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (standby, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    assert!(standby.is_caught_up().unwrap());
    let (_loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let store = store.expect("the standby copy was open");
    assert_eq!(row(&store, "a").as_deref(), Some(&b"1"[..]));
    assert_eq!(store.position().changelog, 1);
    // The other partition is kept up to date; the lent partition is not.
    let kept: Vec<_> = standby.partitions().into_iter().collect();
    assert_eq!(kept, [(1, PartitionState::Running)]);
    stage.put(0, "b", Some("2"));
    stage.turns(&mut keeper).unwrap();
    assert_eq!(row(&store, "b"), None);
    assert!(standby.replica().snapshot(0).is_err());
}

#[test]
fn a_copy_that_comes_back_continues_at_its_position() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (standby, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    let (loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let mut store = store.unwrap();
    stage.put(0, "a", Some("2"));
    write(&mut store, "a", "2", 2);
    loan.give_back(store);
    // Earlier records are deleted, so that nothing can be read again.
    stage.world.delete_before(TABLE, 0, 2).unwrap();
    stage.put(0, "b", Some("3"));
    stage.turns(&mut keeper).unwrap();
    assert!(standby.is_caught_up().unwrap());
    assert_eq!(get(standby.replica(), 0, "a").as_deref(), Some("2"));
    assert_eq!(get(standby.replica(), 0, "b").as_deref(), Some("3"));
}

/// Stored input positions belong to the rows that are stored, or no input positions are stored. Otherwise a group
/// without committed offsets would process records again whose effects the table already has.
#[test]
fn input_positions_of_a_previous_owner_do_not_outlive_rows_of_the_next() {
    let stage = Stage::new();
    let (standby, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    let (loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let mut store = store.unwrap();
    stage.put(0, "a", Some("1"));
    write(&mut store, "a", "1", 1);
    loan.give_back(store);
    stage.turns(&mut keeper).unwrap();
    let (loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let store = store.unwrap();
    assert_eq!(store.position().inputs, [("clicks".to_owned(), 1)]);
    loan.give_back(store);
    stage.put(0, "a", Some("2"));
    stage.turns(&mut keeper).unwrap();
    let (_loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let store = store.unwrap();
    assert_eq!(row(&store, "a").as_deref(), Some(&b"2"[..]));
    assert_eq!(store.position().inputs, []);
}

#[test]
fn a_restart_keeps_the_positions_that_the_tail_may_belong_to() {
    let stage = Stage::new();
    let (standby_, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    let (loan, store) = promoted(&stage, &standby_, &mut keeper, 0);
    let mut store = store.unwrap();
    stage.put(0, "a", Some("1"));
    write(&mut store, "a", "1", 1);
    // The owner is killed before it has stored its last row.
    stage.put(0, "a", Some("2"));
    drop((store, loan, keeper, standby_));

    let (standby, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    let (_loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let store = store.unwrap();
    assert_eq!(row(&store, "a").as_deref(), Some(&b"2"[..]));
    assert_eq!(store.position().inputs, [("clicks".to_owned(), 1)]);
}

#[test]
fn a_copy_has_one_borrower_and_a_cancelled_request_releases_it() {
    let stage = Stage::new();
    let (standby, mut keeper) = standby(&stage);
    // The copy is requested before it was opened, and the request is cancelled.
    assert!(standby.promote(0).unwrap().is_none());
    standby.cancel(0);
    stage.turns(&mut keeper).unwrap();
    assert!(standby.is_caught_up().unwrap());
    // The copy is released for a borrower, who cancels.
    assert!(standby.promote(0).unwrap().is_none());
    stage.turn(&mut keeper).unwrap();
    standby.cancel(0);
    stage.turns(&mut keeper).unwrap();
    assert!(standby.is_caught_up().unwrap());

    let (loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    for _ in 0..3 {
        assert!(standby.promote(0).unwrap().is_none());
        stage.turn(&mut keeper).unwrap();
    }
    // A loan also ends if the borrower has closed the local copy.
    drop((store, loan));
    let (_loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    assert!(store.is_none(), "the copy must not be opened in between");
}

#[test]
fn copies_are_closed_cleanly_whether_lent_or_not() {
    let stage = Stage::new();
    stage.put(0, "a", Some("1"));
    let (standby, mut keeper) = standby(&stage);
    stage.turns(&mut keeper).unwrap();
    let (loan, store) = promoted(&stage, &standby, &mut keeper, 0);
    let mark = stage.dir.path().join("replica/0/not-closed");
    assert!(mark.exists());
    loan.give_back(store.unwrap());
    keeper.close(0).unwrap();
    assert!(!mark.exists());
}

#[test]
fn a_standby_that_failed_refuses_requests_with_the_reason() {
    let stage = Stage::new();
    let replica = Replica::open(stage.spec(), Box::new(Broken), None);
    let standby = Standby::new(replica.unwrap());
    let mut changes = standby.replica().changes();
    while standby.check().is_ok() {
        let changed = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        changed.block_on(changes.changed()).unwrap();
    }
    let error = standby
        .promote(0)
        .err()
        .expect("promotion fails")
        .to_string();
    assert!(error.contains("cannot read"), "{error}");
    assert!(standby.is_caught_up().is_err());
}

/// A connection that always fails.
struct Broken;

impl Reader for Broken {
    fn start(&self, _: i32, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&self, _: i32) -> Result<(), Error> {
        Ok(())
    }

    fn poll(&self, _: Duration, on: &mut dyn FnMut(TableEvent<'_>)) -> bool {
        on(TableEvent::Failed(Error::kafka("read", "it is gone")));
        true
    }

    fn bounds(&self, _: i32) -> Result<(i64, i64), Error> {
        Ok((0, 0))
    }
}
