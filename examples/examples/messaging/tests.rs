//! Tests of one or several processors, by their inputs and outputs. They run in memory and take milliseconds:
//! `cargo test --example messaging`.

use std::collections::BTreeMap;

use goka::{Guarantee, Tester, tester::CommitStep};

use crate::{
    blocker::block,
    collector::collect,
    detector::Detector,
    filter::deliver,
    topics::{BlockUser, Blocked, Feed, Message, Received, Sent, TranslateWord, Translation},
    translator::learn,
};

fn message(from: &str, to: &str, content: &str) -> Message {
    Message {
        from: from.to_owned(),
        to: to.to_owned(),
        content: content.to_owned(),
    }
}

fn send(tester: &mut Tester, from: &str, to: &str, content: &str) {
    tester.emit::<Sent>(from, &message(from, to, content));
}

// Tests one processor with a table, and reads the rows of the table.
#[test]
fn whoever_is_blocked_is_in_the_table_until_they_are_not() {
    let mut tester = Tester::new().processor(block::Processor);
    tester.emit::<BlockUser>("mallory", &"rude".to_owned());
    assert_eq!(tester.get::<Blocked>("mallory"), Some("rude".to_owned()));
    tester.tombstone::<BlockUser>("mallory");
    assert_eq!(tester.get::<Blocked>("mallory"), None);
}

// The test itself fills the tables of other groups.
#[test]
fn the_filter_translates_and_hears_nobody_who_is_blocked() {
    let mut tester = Tester::new().processor(deliver::Processor);
    tester.set::<Blocked>("mallory", &"rude".to_owned());
    tester.set::<Translation>("you", &"dear".to_owned());
    send(&mut tester, "alice", "bob", "hello you");
    send(&mut tester, "mallory", "bob", "hello you");
    let received = tester.emitted::<Received>();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].key, "bob");
    assert_eq!(received[0].value.from, "alice");
    assert_eq!(received[0].value.content, "hello dear");
}

// Tests all processors together, composed as in the application.
#[test]
fn spammers_are_blocked_by_the_processors_together() {
    let detector = Detector {
        messages_min: 3,
        sent_share_max: 0.5,
    };
    let mut tester = Tester::new()
        .processor(detector)
        .processor(block::Processor)
        .processor(learn::Processor)
        .processor(deliver::Processor)
        .processor(collect::Processor);
    tester.emit::<TranslateWord>("spam", &"ham".to_owned());
    tester.run().expect("learned");
    for _ in 0..3 {
        send(&mut tester, "mallory", "bob", "have some spam");
    }
    let why = "sent 3 of 3 messages".to_owned();
    assert_eq!(tester.get::<Blocked>("mallory"), Some(why));
    // The detector may be slower than the filter, so some of the three messages may have been delivered.
    let heard = tester.get::<Feed>("bob").unwrap_or_default().len();
    send(&mut tester, "mallory", "bob", "and more spam");
    send(&mut tester, "alice", "bob", "no spam today");
    let feed = tester.get::<Feed>("bob").unwrap_or_default();
    assert_eq!(feed.len(), heard + 1);
    assert_eq!(feed[heard].content, "no ham today");
}

// Tests the view that the service reads.
#[test]
fn a_view_has_what_was_collected() {
    let mut tester = Tester::new().processor(collect::Processor);
    let view = tester.view::<Feed>();
    for i in 0..12 {
        tester.emit::<Received>("bob", &message("alice", "bob", &i.to_string()));
    }
    tester.run().expect("collected");
    let feed = view.get("bob").expect("the copy can be read");
    let contents: Vec<_> = feed.iter().flatten().map(|m| m.content.as_str()).collect();
    assert_eq!(
        contents,
        ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]
    );
}

// Under exactly-once nothing is lost or duplicated, wherever a process crashes and however partitions move.
#[test]
fn exactly_once_collects_once_through_crashes_and_moves() {
    for step in [
        CommitStep::Handled,
        CommitStep::Delivered,
        CommitStep::Stored,
    ] {
        let mut tester = Tester::new()
            .guarantee(Guarantee::ExactlyOnce)
            .processor(collect::Processor);
        let mut expected = BTreeMap::new();
        for (i, to) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
            tester.crash_at::<collect::Processor>(step);
            tester.emit::<Received>(to, &message("erin", to, "hi"));
            tester.run().expect("collected");
            expected.insert(to.to_owned(), 1);
            if i == 1 {
                tester.start_instance::<collect::Processor>();
            }
        }
        let feeds = tester.rows::<Feed>().into_iter();
        let lengths: BTreeMap<_, _> = feeds.map(|(user, feed)| (user, feed.len())).collect();
        assert_eq!(lengths, expected, "{step:?}");
        assert!(tester.crashes() >= 4, "{step:?}");
    }
}
