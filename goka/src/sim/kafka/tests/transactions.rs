//! Tests that transactions in memory behave as on brokers.

use std::collections::BTreeSet;

use super::*;
use crate::engine::port::{Log, OURS, Transactions};

/// A position with the metadata `by`.
fn first(by: &str) -> Position {
    Position {
        log: Log::Source(SourceIx::new(0)),
        partition: 0,
        offset: 5,
        metadata: by.into(),
    }
}

fn exactly_once(world: &World, name: &str) -> Connection {
    let transactional_id = Some(format!("counts-{name}"));
    let connection = world.connect(ConnectionSpec {
        transactional_id,
        ..spec(name)
    });
    connection.unwrap()
}

fn send(connection: &Connection, value: &str) {
    let record = Outgoing {
        target: EdgeIx::new(0),
        partition: 0,
        key: Some(b"key"),
        value: Some(value.as_bytes()),
        timestamp: 0,
        headers: &OwnedHeaders::new(),
        tag: 0,
    };
    connection.send(&record).unwrap();
}

fn values(world: &World) -> Vec<String> {
    let history = world.history(TABLE, 0).unwrap();
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
    let values = history.iter().filter_map(|record| record.value.as_ref());
    values.map(text).collect()
}

/// Waits until all records are reported, and returns whether all were delivered.
fn delivered(connection: &Connection) -> bool {
    let mut all = true;
    connection.serve(SECOND, &mut |report| all &= report.result.is_ok());
    all
}

fn outcome(world: &World, connection: &Connection) -> Result<(), Error> {
    for _ in 0..1000 {
        if let Some(outcome) = connection.transaction() {
            return outcome;
        }
        world.advance(Duration::from_millis(1));
    }
    panic!("a commit or an abort comes out within a second");
}

fn commit(world: &World, connection: &Connection) -> Result<(), Error> {
    connection.end_transaction();
    let owner = format!("{OURS}counts-one");
    connection.commit_transaction(&[first(&owner)]);
    outcome(world, connection)
}

#[test]
fn what_is_not_committed_is_not_read() {
    let world = world(1);
    let one = exactly_once(&world, "one");
    assert_eq!(event(&one), "take [0]");
    send(&one, "a");
    assert!(delivered(&one));
    assert_eq!(world.bounds(TABLE, 0).unwrap(), (0, 0));
    assert_eq!(one.table_end(0).unwrap(), 1);
    commit(&world, &one).unwrap();
    assert_eq!(world.bounds(TABLE, 0).unwrap(), (0, 2), "with its marker");
    let committed = world.committed("counts", INPUT, 0).unwrap();
    assert_eq!(committed.offset, first("").offset);
}

#[test]
fn what_is_aborted_never_was() {
    let world = world(1);
    let one = exactly_once(&world, "one");
    assert_eq!(event(&one), "take [0]");
    send(&one, "a");
    assert!(delivered(&one));
    one.end_transaction();
    send(&one, "b");
    one.abort_transaction();
    assert!(!delivered(&one), "what waited is given up");
    outcome(&world, &one).unwrap();
    send(&one, "c");
    assert!(delivered(&one));
    commit(&world, &one).unwrap();
    assert_eq!(values(&world), ["c"]);
}

#[test]
fn what_is_sent_after_the_end_belongs_to_the_next() {
    let world = world(1);
    let one = exactly_once(&world, "one");
    assert_eq!(event(&one), "take [0]");
    send(&one, "a");
    assert!(delivered(&one));
    one.end_transaction();
    send(&one, "b");
    one.commit_transaction(&[first("")]);
    outcome(&world, &one).unwrap();
    assert!(delivered(&one));
    drop(one);
    exactly_once(&world, "one");
    world.advance(SECOND);
    assert_eq!(values(&world), ["a"], "its successor ended the next one");
    assert_eq!(world.open_transactions(), 0);
}

#[test]
fn a_fenced_producer_commits_nothing() {
    let world = world(1);
    let one = exactly_once(&world, "one");
    assert_eq!(event(&one), "take [0]");
    commit(&world, &one).unwrap();
    send(&one, "a");
    assert!(delivered(&one));
    // Worker `two` fences the worker that committed last, which is `one`.
    exactly_once(&world, "two").fence(0, &BTreeSet::new());
    world.advance(SECOND);
    assert_eq!(world.open_transactions(), 0);
    assert!(commit(&world, &one).is_err());
    one.abort_transaction();
    outcome(&world, &one).unwrap();
    send(&one, "b");
    assert!(delivered(&one));
    commit(&world, &one).unwrap();
    assert_eq!(values(&world), ["b"], "by a producer of its own again");
}
