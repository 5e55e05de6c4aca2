//! Processors without faults: inputs, outputs, joins, lookups, loops, visits, views and restarts.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use goka::{Guarantee, Meta, Tester};

use crate::graph::{
    Clicks, Gifts, Points, Prices, Prizes, Profiles, Rewards, SetAll, UserClicks, count, rewards,
};

#[test]
fn a_counter_counts() {
    let mut tester = Tester::new().processor(count::Processor);
    tester.emit::<UserClicks>("alice", &1);
    tester.emit::<UserClicks>("bob", &5);
    tester.emit::<UserClicks>("alice", &1);
    assert_eq!(tester.get::<Clicks>("alice"), Some(2));
    assert_eq!(tester.get::<Clicks>("bob"), Some(5));
    assert_eq!(tester.get::<Clicks>("carol"), None);
}

#[test]
fn rows_are_those_of_a_plain_model() {
    for seed in 0..20 {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .seed(seed)
                .partitions(3)
                .processor(count::Processor);
            let mut model = BTreeMap::new();
            for i in 0..100_i64 {
                let user = format!("user-{}", i * i % 17);
                tester.emit::<UserClicks>(&user, &i);
                *model.entry(user).or_insert(0) += i;
            }
            assert_eq!(tester.rows::<Clicks>(), model, "seed {seed}, {guarantee:?}");
        }
    }
}

#[test]
fn a_test_fails_if_the_handler_is_wrong() {
    #[goka::table(group = "wrong", value = i64)]
    struct Wrong;
    #[goka::processor(group = "wrong", input = UserClicks, table = Wrong)]
    fn count_wrongly(ctx: &mut count_wrongly::Context, clicks: i64) -> goka::Result {
        ctx.set_value(&clicks)
    }
    let mut tester = Tester::new().processor(count_wrongly::Processor);
    tester.emit::<UserClicks>("alice", &1);
    tester.emit::<UserClicks>("alice", &1);
    assert_ne!(tester.get::<Wrong>("alice"), Some(2));
}

#[test]
fn rows_can_be_set_and_deleted_before_and_in_between() {
    let mut tester = Tester::new().processor(count::Processor);
    tester.set::<Clicks>("alice", &41);
    tester.set::<Clicks>("bob", &1);
    tester.emit::<UserClicks>("alice", &1);
    assert_eq!(tester.get::<Clicks>("alice"), Some(42));
    tester.delete::<Clicks>("bob");
    tester.set::<Clicks>("alice", &7);
    tester.emit::<UserClicks>("alice", &1);
    tester.emit::<UserClicks>("bob", &2);
    let rows = BTreeMap::from([("alice".to_owned(), 8), ("bob".to_owned(), 2)]);
    assert_eq!(tester.rows::<Clicks>(), rows);
}

#[test]
fn what_was_emitted_has_headers_partition_and_time() {
    let mut tester = Tester::new().processor(count::Processor);
    let at = tester.now() - Duration::from_secs(3600);
    let meta = Meta::new().header("trace", "7").at(at);
    tester.emit_with::<UserClicks>("alice", &100, meta.clone().to_partition(3));
    tester.emit_with::<UserClicks>("bob", &99, meta);
    let prizes = tester.emitted::<Prizes>();
    assert_eq!(prizes.len(), 1);
    assert_eq!(
        (prizes[0].key.as_str(), prizes[0].value.as_str()),
        ("alice", "a cup")
    );
    assert_eq!(prizes[0].header("trace"), Some(b"7".as_slice()));
    assert_eq!(prizes[0].header("clicks"), Some(b"100".as_slice()));
    assert_eq!(prizes[0].timestamp, at);
    let place = goka::Partitioner::Murmur2.partition(b"alice", 4);
    assert_eq!(prizes[0].partition, place);
    // Messages that the test itself has sent are not among the emitted ones.
    assert_eq!(tester.emitted::<UserClicks>(), []);
}

#[test]
fn processors_are_composed_by_streams_tables_joins_and_lookups() {
    let mut tester = Tester::new()
        .processor(count::Processor)
        .processor(rewards());
    tester.set::<Prices>(&1, &30);
    tester.set::<Profiles>("mallory", &"blocked".to_owned());
    for user in ["alice", "mallory"] {
        tester.emit::<UserClicks>(user, &150);
    }
    assert_eq!(tester.get::<Points>("alice"), Some(30));
    assert_eq!(tester.get::<Points>("mallory"), None);
    tester.emit_to::<Rewards>("user-gifts-made", "alice", &("bob".to_owned(), 12_i64));
    assert_eq!(tester.get::<Points>("bob"), Some(12));
    tester.emit::<Gifts>("bob", &1);
    assert_eq!(tester.get::<Points>("bob"), Some(1));
    tester.tombstone::<Gifts>("bob");
    assert_eq!(tester.get::<Points>("bob"), None);
    // The price is changed while all groups run.
    tester.set::<Prices>(&1, &50);
    tester.run().expect("the lookup is up to date");
    tester.emit::<UserClicks>("carol", &100);
    assert_eq!(tester.get::<Points>("carol"), Some(50));
}

#[test]
fn topics_may_have_different_numbers_of_partitions() {
    // The number of partitions of a looked-up table may differ from that of the inputs.
    let mut tester = Tester::new().partitions(2);
    let _ = tester.view::<Prices>();
    let mut tester = tester.partitions(7).processor(rewards());
    tester.set::<Prices>(&1, &30);
    tester.emit::<Prizes>("alice", &"a cup".to_owned());
    assert_eq!(tester.get::<Points>("alice"), Some(30));
    assert_eq!(tester.partitions_of::<Rewards>(0), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn visitors_are_called_for_every_row() {
    let mut tester = Tester::new().processor(rewards());
    for i in 0..100 {
        tester.emit::<Gifts>(&format!("user-{i}"), &i);
    }
    tester.start_instance::<Rewards>();
    assert_eq!(tester.visit::<Rewards>(SetAll(3)).expect("visited"), 100);
    let rows = tester.rows::<Points>();
    assert_eq!(rows.len(), 100);
    assert!(rows.values().all(|points| *points == 3));
}

#[test]
fn views_read_what_the_processors_wrote() {
    let mut tester = Tester::new().processor(count::Processor);
    let view = tester.view::<Clicks>();
    assert_eq!(view.get("alice").expect("open"), None);
    tester.emit::<UserClicks>("alice", &3);
    tester.emit::<UserClicks>("alan", &4);
    tester.emit::<UserClicks>("bob", &5);
    tester.run().expect("counted");
    assert_eq!(view.get("alice").expect("open"), Some(3));
    let rows: Vec<_> = view.prefix("al").map(|row| row.expect("decodes")).collect();
    assert_eq!(rows, [("alan".to_owned(), 4), ("alice".to_owned(), 3)]);
    let other = tester.view::<Clicks>();
    assert_eq!(other.get("bob").expect("open"), Some(5));
    assert_eq!(view.state(), goka::view::ViewState::Running);
}

#[test]
fn an_error_of_a_handler_is_a_value_and_names_its_record() {
    let rewards = rewards();
    let calls = rewards.calls.clone();
    let mut tester = Tester::new().processor(rewards).processor(count::Processor);
    tester.emit::<Gifts>("alice", &-1);
    tester.emit::<UserClicks>("bob", &1);
    let error = tester
        .run()
        .expect_err("processing does not finish")
        .to_string();
    for part in [
        "gift",
        "rewards",
        "user-gifts",
        "offset 0",
        "alice",
        "must not be negative",
    ] {
        assert!(
            error.contains(part),
            "the error must contain {part}: {error}"
        );
    }
    // The other groups continue. The failed group is down, and reads the failed record again after a restart.
    assert_eq!(tester.get::<Clicks>("bob"), Some(1));
    tester.emit::<Prizes>("carol", &"a cup".to_owned());
    assert_eq!(tester.get::<Points>("carol"), None);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    tester.restart::<Rewards>();
    assert!(
        tester
            .run()
            .expect_err("again")
            .to_string()
            .contains("alice")
    );
}

#[test]
fn the_same_seed_gives_the_same_order() {
    let order = |seed| {
        let mut tester = Tester::new().seed(seed).processor(count::Processor);
        for user in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            tester.emit::<UserClicks>(user, &100);
        }
        let prizes = tester.emitted::<Prizes>().into_iter();
        prizes.map(|prize| prize.key).collect::<String>()
    };
    let orders: Vec<_> = (0..10).map(order).collect();
    assert_eq!(orders, (0..10).map(order).collect::<Vec<_>>());
    assert!(
        orders.iter().any(|other| *other != orders[0]),
        "different seeds must give different orders: {orders:?}"
    );
}

#[test]
fn emitters_write_from_any_thread() {
    let mut tester = Tester::new().processor(count::Processor);
    tester.emit::<UserClicks>("alice", &1);
    let emitter = tester.emitter::<UserClicks>();
    let other = emitter.clone();
    let thread = std::thread::spawn(move || {
        let first = other.emit_sync("alice", &10).expect("written");
        let second = other.emit("alice", &100).expect("taken").wait();
        (first.offset, second.expect("written").offset)
    });
    // The message at offset 0 is the one that the test sent before the thread started.
    assert_eq!(thread.join().expect("ends"), (1, 2));
    assert_eq!(tester.get::<Clicks>("alice"), Some(111));
    assert_eq!(emitter.emit_sync("alice", &1).expect("written").offset, 3);
    let nowhere = Meta::new().to_partition(9);
    let refused = emitter
        .emit_with("alice", &1, nowhere)
        .expect_err("no such partition");
    assert!(refused.to_string().contains("it has 4"), "{refused}");
    assert_eq!(tester.get::<Clicks>("alice"), Some(112));
}

#[test]
fn a_handler_emits_tombstones_and_their_readers_get_no_value() {
    #[goka::stream("subscriptions", value = bool)]
    struct Subscriptions;
    #[goka::stream("addresses", value = i64)]
    struct Addresses;
    #[goka::table(group = "book", value = i64)]
    struct Book;
    #[goka::processor(group = "subscribing", input = Subscriptions, output(Addresses))]
    fn subscribing(ctx: &mut subscribing::Context<'_>, stays: bool) -> goka::Result {
        match stays {
            true => ctx.emit::<Addresses>(ctx.key(), &ctx.offset()),
            false => ctx.emit_tombstone::<Addresses>(ctx.key()),
        }
    }
    #[goka::processor(group = "book", input = Addresses, table = Book)]
    fn book(ctx: &mut book::Context<'_>, address: Option<i64>) -> goka::Result {
        match address {
            Some(address) => ctx.set_value(&address),
            None => ctx.delete(),
        }
    }
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = Tester::new()
            .guarantee(guarantee)
            .partitions(1)
            .processor(subscribing::Processor)
            .processor(book::Processor);
        for (user, stays) in [("alice", true), ("bob", true), ("alice", false)] {
            tester.emit::<Subscriptions>(user, &stays);
        }
        let rows = BTreeMap::from([("bob".to_owned(), 1)]);
        assert_eq!(tester.rows::<Book>(), rows, "{guarantee:?}");
    }
}
