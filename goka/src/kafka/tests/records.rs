//! Tests of records: sending, delivery reports, reading, rejection.

use super::*;
use crate::base::partitioner::Partitioner;

#[test]
fn an_offset_that_is_not_there_is_told() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let holder = Holder::of_all(&cluster, 2);
    let member = &*holder.member;
    member.unassign(1).unwrap();
    member.assign(1, &[0, 99]).unwrap();
    let mut found = None;
    until("the delivery is reported", || {
        member.poll(STEP, &mut |event| {
            if let Event::OutOfRange { source, partition } = event {
                found = Some((source, partition));
            }
        });
        found.is_some()
    });
    assert_eq!(found, Some((SourceIx::new(1), 1)));
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
                    assert_eq!(record.partition, 1);
                    assert_eq!(record.timestamp, *SENT_AT);
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
                TableEvent::OutOfRange { .. } => panic!("the offset must not be out of range"),
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
    // After the partition was stopped and started at another offset, no record from before that offset comes.
    assert_eq!(read(2).len(), 1);
    assert_eq!(read(3).len(), 0);
    assert_eq!(read(1).len(), 2);

    reader.start(1, 77).unwrap();
    let mut out = false;
    until("the reader reports that the offset is out of range", || {
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
    let (mut sent, mut offsets) = (0_u32, Vec::new());
    for _ in 0..2 {
        // Nobody takes reports, so the queue must become full.
        let full = loop {
            match member.send(&outgoing(1, 0, &sent.to_be_bytes(), &headers)) {
                Ok(()) => sent += 1,
                Err(refused) => break refused,
            }
            assert!(
                sent < 1_000_000,
                "the memory of the producer must be bounded"
            );
        };
        assert!(matches!(full, SendError::Full), "{full:?}");
        until("the producer's queue has room", || {
            member.serve(STEP, &mut |report| offsets.push(report.result.unwrap()));
            member.in_flight() == 0
        });
    }
    assert_eq!(offsets, (0..i64::from(sent)).collect::<Vec<i64>>());
    let reader = cluster.reader("a").unwrap();
    reader.start(0, 0).unwrap();
    let mut read = 0;
    until("all records are read", || {
        reader.poll(STEP, &mut |event| {
            if let TableEvent::Record(record) = event {
                assert_eq!(record.value, Some(&u32::to_be_bytes(read)[..]));
                read += 1;
            }
        });
        read == sent
    });
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
fn a_partition_held_back_goes_on_where_it_is_told() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let holder = Holder::of_all(&cluster, 2);
    let member = &*holder.member;
    let headers = OwnedHeaders::new();
    for partition in [0, 1] {
        for _ in 0..2000 {
            until("the producer's queue has room", || {
                let sent = member.send(&outgoing(1, partition, b"x", &headers));
                member.serve(Duration::ZERO, &mut |_| {});
                sent.is_ok()
            });
        }
    }
    until("all records are delivered", || {
        member.serve(STEP, &mut |_| {});
        member.in_flight() == 0
    });
    // Partition 0 is unassigned every 100 records and assigned again 10 records earlier. Partition 1 is left alone.
    let (mut next, mut other, mut held_back) = (0, 0, 0);
    until("both records are read", || {
        let mut hold = false;
        member.poll(STEP, &mut |event| match event {
            Event::Record { record, .. } if record.partition == 0 => {
                assert_eq!(
                    record.offset, next,
                    "the reader was held back {held_back} times"
                );
                next += 1;
                hold = next % 100 == 0 && next > held_back * 100;
            }
            Event::Record { record, .. } => {
                assert_eq!(record.offset, other);
                other += 1;
            }
            _ => panic!("only records are expected"),
        });
        if hold {
            held_back += 1;
            member.unassign(0).unwrap();
            // Records that were fetched before the call may still come, until the partition is assigned again.
            member.poll(Duration::ZERO, &mut |event| {
                if let Event::Record { record, .. } = event
                    && record.partition == 1
                {
                    assert_eq!(record.offset, other);
                    other += 1;
                }
            });
            next -= 10;
            member.assign(0, &[next, 0]).unwrap();
        }
        next == 2000 && other == 2000
    });
    assert_eq!(held_back, 20);
}

#[test]
fn keys_that_come_are_told_before_once_and_in_order() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let holder = Holder::of_all(&cluster, 2);
    let member = &*holder.member;
    let headers = OwnedHeaders::new();
    for n in 0..1_000 {
        let key = format!("key {n}");
        let record = Outgoing {
            // Every tenth record has no key.
            key: (n % 10 != 0).then_some(key.as_bytes()),
            ..outgoing(1, n % 2, b"x", &headers)
        };
        member.send(&record).unwrap();
    }
    delivered(member);
    let (mut told, mut foretold, mut read) = ([Vec::new(), Vec::new()], 0, 0);
    until("all records are read", || {
        member.ahead(&mut |partition, keys| {
            let told: &mut Vec<Vec<u8>> = &mut told[partition as usize];
            told.extend(keys.map(<[u8]>::to_vec));
        });
        member.poll(STEP, &mut |event| {
            let Event::Record { record, .. } = event else {
                panic!("only records are expected");
            };
            read += 1;
            let told = &mut told[record.partition as usize];
            if let (Some(key), false) = (record.key, told.is_empty()) {
                assert_eq!(told.remove(0), key);
                foretold += 1;
            }
        });
        read == 1_000
    });
    assert_eq!(told, [Vec::<Vec<u8>>::new(), Vec::new()]);
    assert!((1..=900).contains(&foretold), "{foretold}");
}

/// The golden vectors of the other partitioners are in `goka/tests/golden.rs`.
#[test]
fn crc32_is_the_default_partitioner_of_librdkafka() {
    for length in 1..200_usize {
        let key: Vec<u8> = (0..length).map(|n| (n * n + length) as u8).collect();
        for partitions in [1, 3, 4, 12, 100, 1000, i32::MAX] {
            // SAFETY: the key is alive, and the partitioner does not look at the topic and the opaque pointers.
            let theirs = unsafe {
                rdkafka::bindings::rd_kafka_msg_partitioner_consistent(
                    std::ptr::null(),
                    key.as_ptr().cast(),
                    key.len(),
                    partitions,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
            assert_eq!(Partitioner::Crc32.partition(&key, partitions), theirs);
        }
    }
}
