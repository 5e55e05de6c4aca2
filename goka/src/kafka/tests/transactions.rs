//! Tests of what exactly-once relies on. They need a real Kafka: the embedded broker does not hide aborted records,
//! and forgets offsets that were committed in a transaction.

use super::*;
use crate::base::config::Guarantee;

const TABLE: usize = 0;

/// A member that holds the only partition.
fn member() -> (Bench, Cluster, Holder) {
    Bench::needs_kafka();
    let mut bench = Bench::new();
    bench.config = bench.config.guarantee(Guarantee::ExactlyOnce);
    let cluster = bench.cluster();
    create(&cluster, 1);
    let mut holder = Holder::new(&cluster, 0);
    until("the member holds the partition", || {
        holder.step();
        !holder.held.is_empty()
    });
    (bench, cluster, holder)
}

fn send(member: &dyn Kafka, value: &str) {
    let headers = OwnedHeaders::new();
    let sent = member.send(&outgoing(TABLE, 0, value.as_bytes(), &headers));
    sent.unwrap();
}

fn outcome(member: &dyn Kafka) -> Result<(), Error> {
    let mut outcome = None;
    until("the outcome of the transaction is reported", || {
        member.serve(STEP, &mut |_| {});
        outcome = member.transaction();
        outcome.is_some()
    });
    outcome.unwrap()
}

fn commit(member: &dyn Kafka, offset: i64) -> Result<(), Error> {
    let position = Position {
        log: Log::Source(SourceIx::new(0)),
        partition: 0,
        offset,
        metadata: "goka test".into(),
    };
    member.end_transaction();
    member.commit_transaction(&[position]);
    outcome(member)
}

/// The values that a reader of the changelog gets.
fn values(member: &dyn Kafka) -> Vec<String> {
    let table = member.table().unwrap();
    table.start(0, 0).unwrap();
    let (mut values, mut done) = (Vec::new(), false);
    until("the end of the table", || {
        table.poll(STEP, &mut |event| match event {
            TableEvent::Record(record) => {
                let value = record.value.unwrap_or_default();
                values.push(String::from_utf8_lossy(value).into_owned());
            }
            _ => done = true,
        });
        done
    });
    table.stop(0).unwrap();
    values
}

fn committed(member: &dyn Kafka) -> Option<i64> {
    let mut offset = None;
    until("the offsets are stable", || match member.committed(0) {
        Ok(committed) => {
            offset = committed.sources[0].as_ref().map(|c| c.offset);
            true
        }
        Err(_) => false,
    });
    offset
}

#[test]
#[ignore = "needs a real Kafka"]
fn what_is_not_committed_is_not_read() {
    let (_bench, _cluster, holder) = member();
    let member = &*holder.member;
    send(member, "a");
    assert!(delivered(member).iter().all(Result::is_ok));
    assert_eq!(member.table_end(0).unwrap(), 1);
    assert_eq!(member.table().unwrap().bounds(0).unwrap(), (0, 0));
    commit(member, 5).unwrap();
    assert_eq!(committed(member), Some(5));
    until("the marker is written", || {
        member.table().unwrap().bounds(0).unwrap() == (0, 2)
    });
    assert_eq!(values(member), ["a"]);
}

#[test]
#[ignore = "needs a real Kafka"]
fn what_is_sent_after_the_end_belongs_to_the_next() {
    let (_bench, _cluster, holder) = member();
    let member = &*holder.member;
    send(member, "a");
    assert!(delivered(member).iter().all(Result::is_ok));
    member.end_transaction();
    send(member, "b");
    let nothing = &mut |_| panic!("no record may be reported before it is sent");
    member.serve(STEP, nothing);
    commit(member, 1).unwrap();
    assert!(delivered(member).iter().all(Result::is_ok));
    send(member, "c");
    member.abort_transaction();
    outcome(member).unwrap();
    send(member, "d");
    assert!(delivered(member).iter().all(Result::is_ok));
    commit(member, 2).unwrap();
    assert_eq!(committed(member), Some(2));
    assert_eq!(values(member), ["a", "d"]);
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_fenced_worker_continues_with_another_producer() {
    let (_bench, cluster, holder) = member();
    let member = &*holder.member;
    send(member, "a");
    assert!(delivered(member).iter().all(Result::is_ok));
    // The member `other` takes over the transactional id of `member`.
    let other = cluster.member(&MemberSpec {
        guarantee: Guarantee::ExactlyOnce,
        ..spec(0)
    });
    let other = other.unwrap();
    assert!(commit(member, 1).is_err());
    member.abort_transaction();
    outcome(member).unwrap();
    send(member, "b");
    assert!(delivered(member).iter().all(Result::is_ok));
    commit(member, 2).unwrap();
    assert_eq!(committed(member), Some(2));
    assert_eq!(values(member), ["b"]);
    drop(other);
}
