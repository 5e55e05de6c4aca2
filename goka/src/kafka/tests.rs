//! Tests of what the engine relies on, with the embedded broker or with the Kafka that GOKA_TEST_BROKERS names.

mod cuts;
mod members;
mod records;
mod topics;
mod transactions;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    bench::{Bench, DEADLINE, SENT_AT, STEP, until},
    *,
};
use crate::{
    base::{
        config::{Config, Guarantee},
        error::Error,
        index::{EdgeIx, SourceIx},
        record::OwnedHeaders,
    },
    engine::port::*,
};

/// A member of group `group` with inputs `a` and `b`, and the changelog as its subscribed topic.
fn spec(worker: usize) -> MemberSpec {
    MemberSpec {
        group: "group".to_owned(),
        instance: "instance".to_owned(),
        worker,
        leader: "group-state".to_owned(),
        sources: vec!["a".to_owned(), "b".to_owned()],
        targets: vec!["group-state".to_owned(), "a".to_owned(), "b".to_owned()],
        table: Some("group-state".to_owned()),
        guarantee: Guarantee::AtLeastOnce,
    }
}

fn create(cluster: &Cluster, partitions: i32) {
    cluster
        .create_topic("group-state", partitions, true)
        .unwrap();
    cluster.create_topic("a", partitions, false).unwrap();
    cluster.create_topic("b", partitions, false).unwrap();
}

fn outgoing<'a>(
    target: usize,
    partition: i32,
    value: &'a [u8],
    headers: &'a OwnedHeaders,
) -> Outgoing<'a> {
    Outgoing {
        target: EdgeIx::new(target),
        partition,
        key: Some(b"key"),
        value: Some(value),
        timestamp: *SENT_AT,
        headers,
        tag: 7,
    }
}

fn delivered(member: &dyn Kafka) -> Vec<Result<i64, Undelivered>> {
    let mut all = Vec::new();
    let until = Instant::now() + DEADLINE;
    while member.in_flight() > 0 && Instant::now() < until {
        member.serve(STEP, &mut |report| {
            assert_eq!(report.tag, 7);
            all.push(report.result);
        });
    }
    assert_eq!(member.in_flight(), 0);
    all
}

/// A member and the partitions that it holds. It answers a revoke in the same step in which it gets the revoke.
struct Holder {
    member: Box<dyn Kafka + Send>,
    held: BTreeSet<i32>,
    records: Vec<(usize, i32, i64)>,
    revoked: usize,
}

impl Holder {
    fn new(cluster: &Cluster, worker: usize) -> Self {
        let spec = MemberSpec {
            guarantee: cluster.connection().config.guarantee,
            ..spec(worker)
        };
        Holder {
            member: cluster.member(&spec).unwrap(),
            held: BTreeSet::new(),
            records: Vec::new(),
            revoked: 0,
        }
    }

    /// A member that holds all partitions.
    fn of_all(cluster: &Cluster, partitions: usize) -> Self {
        let mut holder = Holder::new(cluster, 0);
        until("the member holds all partitions", || {
            holder.step();
            holder.held.len() == partitions
        });
        holder
    }

    fn step(&mut self) {
        let mut given = Vec::new();
        let mut taken = None;
        let (records, member) = (&mut self.records, &self.member);
        member.poll(STEP, &mut |event| match event {
            Event::Record { source, record } => {
                records.push((source.index(), record.partition, record.offset));
            }
            Event::Assigned(partitions) => {
                println!("given {partitions:?}");
                given = partitions;
            }
            Event::Revoked { partitions, lost } => {
                println!("taken {partitions:?}");
                assert!(!lost);
                taken = Some(partitions);
            }
            Event::OutOfRange { .. } => panic!("the offset must not be out of range"),
            Event::Failed(error) => panic!("{error}"),
        });
        for partition in given {
            self.member.assign(partition, &[0, 0]).unwrap();
            self.held.insert(partition);
        }
        if let Some(taken) = taken {
            for partition in &taken {
                self.member.unassign(*partition).unwrap();
                self.held.remove(partition);
            }
            self.revoked += taken.len();
            // The group waits for this answer to the revoke.
            self.member.released(&taken).unwrap();
        }
    }
}
