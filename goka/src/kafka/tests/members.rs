//! Tests of the members of a group: who holds which partitions, and what the members commit.

use super::*;

#[test]
fn two_members_share_partitions_and_pass_them_on() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 4);
    let mut first = Holder::new(&cluster, 0);
    until("the first member holds all partitions", || {
        first.step();
        first.held.len() == 4
    });
    let mut second = Holder::new(&cluster, 1);
    until("each member holds two partitions", || {
        first.step();
        second.step();
        first.held.len() == 2 && second.held.len() == 2
    });
    assert!(first.held.is_disjoint(&second.held));
    assert_eq!(
        first.revoked, 2,
        "only partitions that must move have moved"
    );
    // Each member reads its partitions of both inputs, and no other partitions.
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
    until(
        "both members have read all records of their partitions",
        || {
            first.step();
            second.step();
            first.records.len() + second.records.len() == 8
        },
    );
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
    until("the first member holds all partitions again", || {
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
    until("the first member holds all partitions", || {
        first.step();
        first.held.len() == 2
    });
    let mut second = Holder::new(&cluster, 1);
    let mut taken = None;
    until("the first member is asked to give up a partition", || {
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
    // None of these calls answers the revoke. Meanwhile, the kept partition is unassigned and assigned again.
    first.member.unassign(taken[0]).unwrap();
    first.member.unassign(kept).unwrap();
    first.member.assign(kept, &[0, 0]).unwrap();
    for _ in 0..20 {
        first.member.poll(STEP, &mut |_| {});
        second.step();
    }
    assert!(
        second.held.is_empty(),
        "the partition must not move before the first member has given it up"
    );
    first.member.released(&taken).unwrap();
    until("the second member holds the partition", || {
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
    until("the records of the kept partition are read", || {
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
    until("the first member holds all partitions", || {
        first.step();
        first.held.len() == 2
    });
    let mut second = Holder::new(&cluster, 1);
    let mut asked = false;
    until("the first member is asked to give up a partition", || {
        second.step();
        first.member.poll(STEP, &mut |event| {
            asked |= matches!(event, Event::Revoked { .. });
        });
        asked
    });
    drop(first);
    until("the second member holds all partitions", || {
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
        until("the member holds all partitions", || {
            first.step();
            first.held.len() == 2
        });
        panic!("on purpose");
    });
    assert!(worker.join().is_err());
    let mut second = Holder::new(&cluster, 1);
    until("another member takes over", || {
        second.step();
        second.held.len() == 2
    });
}

#[test]
fn commits_are_read_back_with_their_metadata() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let holder = Holder::of_all(&cluster, 2);
    let member = &*holder.member;
    assert_eq!(member.committed(1).unwrap().sources, [None, None]);
    let position = |source, offset| Position {
        log: Log::Source(SourceIx::new(source)),
        partition: 1,
        offset,
        metadata: "instance-0".into(),
    };
    let mut refused = 0;
    until("the broker accepts the commit", || {
        match member.commit(&[position(0, 5), position(1, 0)]) {
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
    assert_eq!(
        member.committed(1).unwrap().sources,
        [committed(5), committed(0)]
    );
    assert_eq!(member.committed(0).unwrap().sources, [None, None]);
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut bench = Bench::new();
    bench.config = bench
        .config
        .membership(crate::base::config::Membership::Static);
    let cluster = bench.cluster();
    create(&cluster, 4);
    let mut first = Holder::new(&cluster, 0);
    let mut second = Holder::new(&cluster, 1);
    until("each member holds two partitions", || {
        first.step();
        second.step();
        first.held.len() == 2 && second.held.len() == 2
    });
    let had = second.held.clone();
    let moved = first.revoked;
    drop(second);
    let mut second = Holder::new(&cluster, 1);
    until("the member holds the same partitions as before", || {
        first.step();
        second.step();
        second.held == had
    });
    assert_eq!(first.revoked, moved, "nothing moved");
}

#[test]
#[ignore = "needs a real Kafka"]
fn two_with_the_same_instance_id_do_not_both_go_on() {
    // The embedded broker does not fence members.
    Bench::needs_kafka();
    let mut bench = Bench::new();
    bench.config = bench
        .config
        .membership(crate::base::config::Membership::Static);
    let cluster = bench.cluster();
    create(&cluster, 1);
    let mut first = Holder::new(&cluster, 0);
    until("the first member holds the partition", || {
        first.step();
        first.held.len() == 1
    });
    let mut second = Holder::new(&cluster, 0);
    let mut said = None;
    until("the first member learns that it was fenced", || {
        second.step();
        first.member.poll(STEP, &mut |event| {
            if let Event::Failed(error) = event {
                said = Some(error.to_string());
            }
        });
        said.is_some()
    });
    let said = said.unwrap();
    assert!(said.contains("Config::instance_id"), "{said}");
    until("the second member holds the partition", || {
        second.step();
        second.held.len() == 1
    });
}

#[test]
fn metadata_that_is_not_utf8_is_read() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 1);
    let group = cluster.names().group("group").unwrap();
    let topics = ["a", "group-state"].map(|topic| cluster.names().topic(topic).unwrap());
    // Another client of the group commits bytes that are no text. librdkafka frees the metadata with the list.
    let mut list = rdkafka::TopicPartitionList::new();
    for topic in &topics {
        let offset = rdkafka::Offset::Offset(3);
        list.add_partition_offset(topic, 0, offset).unwrap();
        list.find_partition(topic, 0).unwrap().set_metadata("goka?");
    }
    // SAFETY: the list has two elements, whose metadata of five bytes nothing else reads meanwhile.
    unsafe {
        for n in 0..2 {
            let element = &*(*list.ptr()).elems.add(n);
            *element.metadata.cast::<u8>().add(4) = 0xff;
        }
    }
    let connection = cluster.connection();
    let client: rdkafka::consumer::BaseConsumer<_> = connection
        .open(client::settings::Role::Reader, "test", |settings| {
            settings.set("group.id", &group);
            settings.set("enable.auto.commit", "false");
        })
        .unwrap();
    use rdkafka::consumer::{CommitMode, Consumer as _};
    until("the commit is taken", || {
        client.commit(&list, CommitMode::Sync).is_ok()
    });
    let member = cluster.member(&spec(0)).unwrap();
    let committed = member.committed(0).unwrap();
    let lossy = Some(Committed {
        offset: 3,
        metadata: "goka\u{fffd}".to_owned(),
    });
    assert_eq!(committed.sources, [lossy.clone(), None]);
    assert_eq!(committed.changelog, lossy);
}
