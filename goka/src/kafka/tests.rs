//! What the engine relies on, on the embedded broker, or on the Kafka that GOKA_TEST_BROKERS names.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    bench::{Bench, DEADLINE, STEP, until},
    *,
};
use crate::Config;

/// A member of group `group` with inputs `a` and `b` and the table's topic as its leader.
fn spec(worker: usize) -> MemberSpec {
    MemberSpec {
        group: "group".to_owned(),
        instance: "instance".to_owned(),
        worker,
        leader: "group-state".to_owned(),
        sources: vec!["a".to_owned(), "b".to_owned()],
        targets: vec!["group-state".to_owned(), "a".to_owned(), "b".to_owned()],
        table: Some("group-state".to_owned()),
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
        target,
        partition,
        key: Some(b"key"),
        value: Some(value),
        timestamp: 1_700_000_000_000,
        headers,
        tag: 7,
    }
}

fn delivered(member: &dyn Kafka) -> Vec<Result<i64, Box<str>>> {
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

/// A member and what it holds; every revoke is answered at the next step.
struct Holder {
    member: Box<dyn Kafka + Send>,
    held: BTreeSet<i32>,
    records: Vec<(usize, i32, i64)>,
    revoked: usize,
}

impl Holder {
    fn new(cluster: &Cluster, worker: usize) -> Self {
        Holder {
            member: cluster.member(&spec(worker)).unwrap(),
            held: BTreeSet::new(),
            records: Vec::new(),
            revoked: 0,
        }
    }

    fn step(&mut self) {
        let mut given = Vec::new();
        let mut taken = None;
        let (records, member) = (&mut self.records, &self.member);
        member.poll(STEP, &mut |event| match event {
            Event::Record(r) => records.push((r.edge, r.partition, r.offset)),
            Event::Assigned(partitions) => given = partitions,
            Event::Revoked { partitions, lost } => {
                assert!(!lost);
                taken = Some(partitions);
            }
            Event::OutOfRange { .. } => panic!("out of range"),
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
            // Other events may come first: the answer is awaited.
            self.member.released(&taken).unwrap();
        }
    }
}

#[test]
fn two_members_share_partitions_and_pass_them_on() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 4);
    let mut first = Holder::new(&cluster, 0);
    until("the first holds all", || {
        first.step();
        first.held.len() == 4
    });
    let mut second = Holder::new(&cluster, 1);
    until("each holds two", || {
        first.step();
        second.step();
        first.held.len() == 2 && second.held.len() == 2
    });
    assert!(first.held.is_disjoint(&second.held));
    assert_eq!(first.revoked, 2, "only what must move moved");
    // Both inputs of the partitions held are read, and no others.
    let headers = OwnedHeaders::new();
    for partition in 0..4 {
        for target in [1, 2] {
            first
                .member
                .send(&outgoing(target, partition, b"x", &headers))
                .unwrap();
        }
    }
    assert!(delivered(&*first.member).iter().all(Result::is_ok));
    until("both have read all of theirs", || {
        first.step();
        second.step();
        first.records.len() + second.records.len() == 8
    });
    let of = |holder: &Holder| -> BTreeSet<i32> {
        holder
            .records
            .iter()
            .map(|(_, partition, _)| *partition)
            .collect()
    };
    assert_eq!(of(&first), first.held);
    assert_eq!(of(&second), second.held);
    second.member.close();
    drop(second);
    until("the first holds all again", || {
        first.step();
        first.held.len() == 4
    });
}

#[test]
fn a_revoke_waits_for_its_answer() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let mut first = Holder::new(&cluster, 0);
    until("the first holds all", || {
        first.step();
        first.held.len() == 2
    });
    let mut second = Holder::new(&cluster, 1);
    let mut taken = None;
    until("the first is asked to give one", || {
        second.step();
        first.member.poll(STEP, &mut |event| {
            if let Event::Revoked { partitions, .. } = event {
                taken = Some(partitions);
            }
        });
        taken.is_some()
    });
    let taken = taken.unwrap();
    assert_eq!(taken.len(), 1);
    let kept = 1 - taken[0];
    // Neither of these is the answer. The kept one is held back and taken up again meanwhile.
    first.member.unassign(taken[0]).unwrap();
    first.member.unassign(kept).unwrap();
    first.member.assign(kept, &[0, 0]).unwrap();
    for _ in 0..20 {
        first.member.poll(STEP, &mut |_| {});
        second.step();
    }
    assert!(second.held.is_empty(), "given away before the answer");
    first.member.released(&taken).unwrap();
    until("the second holds it", || {
        first.member.poll(STEP, &mut |_| {});
        second.step();
        second.held == BTreeSet::from([taken[0]])
    });
    let headers = OwnedHeaders::new();
    first
        .member
        .send(&outgoing(1, kept, b"x", &headers))
        .unwrap();
    assert!(delivered(&*first.member)[0].is_ok());
    until("the kept one is read", || {
        first.step();
        !first.records.is_empty()
    });
}

#[test]
fn leaving_with_a_revoke_open_does_not_hang() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let mut first = Holder::new(&cluster, 0);
    until("the first holds all", || {
        first.step();
        first.held.len() == 2
    });
    let mut second = Holder::new(&cluster, 1);
    let mut asked = false;
    until("the first is asked to give one", || {
        second.step();
        first.member.poll(STEP, &mut |event| {
            asked |= matches!(event, Event::Revoked { .. });
        });
        asked
    });
    drop(first);
    until("the second holds all", || {
        second.step();
        second.held.len() == 2
    });
}

#[test]
fn a_panic_does_not_hang() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let mut first = Holder::new(&cluster, 0);
    let worker = std::thread::spawn(move || {
        until("it holds all", || {
            first.step();
            first.held.len() == 2
        });
        panic!("on purpose");
    });
    assert!(worker.join().is_err());
    let mut second = Holder::new(&cluster, 1);
    until("another takes over", || {
        second.step();
        second.held.len() == 2
    });
}

#[test]
fn commits_are_read_back_with_their_metadata() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let mut holder = Holder::new(&cluster, 0);
    until("it holds all", || {
        holder.step();
        holder.held.len() == 2
    });
    let member = &*holder.member;
    assert_eq!(member.committed(1).unwrap(), [None, None]);
    let position = |source, offset| Position {
        source,
        partition: 1,
        offset,
    };
    let mut refused = 0;
    until("the commit is taken", || {
        match member.commit(&[position(0, 5), position(1, 0)], "instance-0") {
            Ok(()) => true,
            Err(CommitError::Again(_)) if refused < 1000 => {
                refused += 1;
                member.poll(STEP, &mut |_| {});
                false
            }
            Err(error) => panic!("{error:?}"),
        }
    });
    let committed = |offset| {
        Some(Committed {
            offset,
            metadata: "instance-0".to_owned(),
        })
    };
    assert_eq!(member.committed(1).unwrap(), [committed(5), committed(0)]);
    assert_eq!(member.committed(0).unwrap(), [None, None]);
}

#[test]
fn an_offset_that_is_not_there_is_told() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let mut holder = Holder::new(&cluster, 0);
    until("it holds all", || {
        holder.step();
        holder.held.len() == 2
    });
    let member = &*holder.member;
    member.unassign(1).unwrap();
    member.assign(1, &[0, 99]).unwrap();
    let mut found = None;
    until("it is told", || {
        member.poll(STEP, &mut |event| {
            if let Event::OutOfRange { source, partition } = event {
                found = Some((source, partition));
            }
        });
        found.is_some()
    });
    assert_eq!(found, Some((1, 1)));
}

#[test]
fn a_topic_is_read_to_its_end_and_again() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let member = cluster.member(&spec(0)).unwrap();
    let headers = vec![
        ("one".to_owned(), Some(b"1".to_vec())),
        ("none".to_owned(), None),
        ("one".to_owned(), Some(Vec::new())),
    ];
    let none = OwnedHeaders::new();
    member.send(&outgoing(1, 1, b"value", &headers)).unwrap();
    let mut tombstone = outgoing(1, 1, b"", &none);
    tombstone.value = None;
    member.send(&tombstone).unwrap();
    let mut null_key = outgoing(1, 1, b"", &none);
    null_key.key = None;
    member.send(&null_key).unwrap();
    let offsets: Vec<i64> = delivered(&*member)
        .into_iter()
        .map(|r| r.unwrap())
        .collect();
    assert_eq!(offsets, [0, 1, 2]);

    assert!(member.table().is_some());
    let reader = cluster.reader("a").unwrap();
    assert_eq!(reader.bounds(1).unwrap(), (0, 3));
    let read = |from: i64| {
        reader.start(1, from).unwrap();
        let mut rows = Vec::new();
        let mut end = false;
        until("the end", || {
            reader.poll(STEP, &mut |event| match event {
                TableEvent::Record(record) => {
                    assert_eq!((record.edge, record.partition), (0, 1));
                    assert_eq!(record.timestamp, 1_700_000_000_000);
                    let headers = record.headers.iter();
                    rows.push((
                        record.offset,
                        record.key.map(<[u8]>::to_vec),
                        record.value.map(<[u8]>::to_vec),
                        headers
                            .map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec)))
                            .collect::<OwnedHeaders>(),
                    ));
                }
                TableEvent::End { partition } => {
                    assert_eq!(partition, 1);
                    end = true;
                }
                TableEvent::OutOfRange { .. } => panic!("out of range"),
                TableEvent::Failed(error) => panic!("{error}"),
            });
            end
        });
        reader.stop(1).unwrap();
        rows
    };
    let key = Some(b"key".to_vec());
    let rows = read(0);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0], (0, key.clone(), Some(b"value".to_vec()), headers));
    assert_eq!(rows[1], (1, key, None, vec![]));
    assert_eq!(rows[2], (2, None, Some(vec![]), vec![]));
    // Stopped and started elsewhere: nothing of before comes.
    assert_eq!(read(2).len(), 1);
    assert_eq!(read(3).len(), 0);
    assert_eq!(read(1).len(), 2);

    reader.start(1, 77).unwrap();
    let mut out = false;
    until("out of range is told", || {
        reader.poll(STEP, &mut |event| {
            out |= matches!(event, TableEvent::OutOfRange { partition: 1 });
        });
        out
    });
}

#[test]
fn a_full_queue_pushes_back_and_keeps_order() {
    let mut bench = Bench::new();
    bench.config = bench
        .config
        .set_producer("queue.buffering.max.messages", "10");
    let cluster = bench.cluster();
    create(&cluster, 1);
    let member = cluster.member(&spec(0)).unwrap();
    let headers = OwnedHeaders::new();
    let (mut full, mut offsets) = (0, Vec::new());
    for number in 0..200_u32 {
        let value = number.to_be_bytes();
        until("there is room", || {
            match member.send(&outgoing(1, 0, &value, &headers)) {
                Ok(()) => true,
                Err(SendError::Full) => {
                    full += 1;
                    member.serve(STEP, &mut |report| offsets.push(report.result.unwrap()));
                    false
                }
                Err(SendError::Refused(error)) => panic!("{error}"),
            }
        });
    }
    offsets.extend(delivered(&*member).into_iter().map(|r| r.unwrap()));
    assert!(full > 0);
    assert_eq!(offsets, (0..200).collect::<Vec<i64>>());
}

#[test]
fn what_is_too_large_is_refused_with_the_cure() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 1);
    let member = cluster.member(&spec(0)).unwrap();
    let value = vec![0; 2_000_000];
    let refused = member.send(&outgoing(1, 0, &value, &OwnedHeaders::new()));
    let Err(SendError::Refused(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("message.max.bytes"), "{error}");
    assert_eq!(member.in_flight(), 0);
}

#[test]
fn what_is_purged_is_reported_as_failed() {
    let mut bench = Bench::new();
    bench.config = bench.config.set_producer("linger.ms", "60000");
    bench.config = bench.config.set("session.timeout.ms", "180000");
    let cluster = bench.cluster();
    create(&cluster, 1);
    let member = cluster.member(&spec(0)).unwrap();
    let headers = OwnedHeaders::new();
    for _ in 0..3 {
        member.send(&outgoing(1, 0, b"x", &headers)).unwrap();
    }
    assert_eq!(member.in_flight(), 3);
    member.purge();
    let reports = delivered(&*member);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(Result::is_err));
}

#[test]
fn topics_are_told_and_created_under_their_physical_names() {
    let mut bench = Bench::new();
    let prefix = bench.config.prefix.clone();
    let renamed = format!("{prefix}renamed");
    bench.config = bench.config.topic("clicks", &renamed);
    let cluster = bench.cluster();
    assert_eq!(cluster.topics(&["clicks", "table"]).unwrap(), [None, None]);
    cluster.create_topic("clicks", 3, false).unwrap();
    cluster.create_topic("table", 2, true).unwrap();
    cluster.create_topic("table", 5, false).unwrap();

    let plain = Config::new().brokers(bench.config.brokers.clone());
    let plain = Cluster::connect(&plain).unwrap();
    assert_eq!(plain.cluster_id(), cluster.cluster_id());
    let names = [renamed.as_str(), &format!("{prefix}table"), "nothing"];
    let told = plain.topics(&names).unwrap();
    let [Some(clicks), Some(table), None] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((clicks.partitions, table.partitions), (3, 2));
    assert_eq!(clicks.cleanup_policy.as_deref(), Some("delete"));
    assert_eq!(table.cleanup_policy.as_deref(), Some("compact"));
    if Bench::on_kafka() {
        assert!(!clicks.id.is_empty() && clicks.id != table.id);
        assert_eq!(table.delete_retention_ms, Some(86_400_000));
    }
}

#[test]
fn members_of_a_group_are_told() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 1);
    assert_eq!(cluster.members("group").unwrap(), []);
    let mut holder = Holder::new(&cluster, 0);
    until("it holds all", || {
        holder.step();
        holder.held.len() == 1
    });
    let members = cluster.members("group").unwrap();
    if Bench::on_kafka() {
        let leader = cluster.names().topic("group-state").unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].topics, [leader]);
        assert!(!members[0].id.is_empty());
    } else {
        assert_eq!(members, []);
    }
}

#[test]
fn a_broker_that_does_not_answer_is_named() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let error = Cluster::connect(&Config::new().brokers(&address))
        .err()
        .unwrap();
    let said = error.to_string();
    assert!(
        said.contains(&address) && said.contains("within 10 s"),
        "{said}"
    );
}

#[test]
fn a_missing_topic_is_refused_with_the_cure() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    cluster.create_topic("group-state", 1, true).unwrap();
    cluster.create_topic("a", 1, false).unwrap();
    let error = cluster.member(&spec(0)).err().unwrap().to_string();
    assert!(error.contains("-b` does not exist"), "{error}");
    assert!(cluster.reader("b").is_err());
}
