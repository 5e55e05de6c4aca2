//! A rolling deployment that changes the inputs of a group: at no time do two members own the same partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use goka::{App, Config, Guarantee, Processor, Running, app::PartitionState, config::Membership};
use goka_tests::{
    DEADLINE, Message, broker, last_values, needs_kafka, produce, read_topic, read_until,
};
use tokio::time::{interval, timeout};

use super::{end, place::Place};

/// The version that is deployed first.
mod before {
    #[goka::table(group = "deployed", value = i64)]
    pub(super) struct Sums;

    #[goka::processor(group = "deployed", input = "numbers", table = Sums)]
    pub(super) fn sum(ctx: &mut sum::Context, number: i64) -> goka::Result {
        let sum = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(sum + number))
    }

    #[goka::processor(group = "tableless", input = "numbers", output(Copied))]
    pub(super) fn copy(ctx: &mut copy::Context, number: i64) -> goka::Result {
        ctx.emit::<Copied>(ctx.key(), &number)
    }

    #[goka::stream("copied", value = i64)]
    pub(super) struct Copied;
}

/// The version that is deployed later.
mod after {
    use super::before::{Copied, Sums};

    #[goka::stream("numbers", value = i64)]
    struct Numbers;
    #[goka::stream("more", value = i64)]
    struct More;

    pub(super) struct Sum;

    /// This version has an additional input, which is listed first.
    #[goka::processor(group = "deployed", table = Sums)]
    impl Sum {
        #[input(More)]
        fn more(&self, ctx: &mut goka::Context<'_, Self>, number: i64) -> goka::Result {
            let sum = ctx.value()?.unwrap_or(0);
            ctx.set_value(&(sum + 1_000 * number))
        }
        #[input(Numbers)]
        fn number(&self, ctx: &mut goka::Context<'_, Self>, number: i64) -> goka::Result {
            let sum = ctx.value()?.unwrap_or(0);
            ctx.set_value(&(sum + number))
        }
    }

    #[goka::processor(group = "tableless", input = More, output(Copied))]
    pub(super) fn copy(ctx: &mut copy::Context, number: i64) -> goka::Result {
        ctx.emit::<Copied>(ctx.key(), &number)
    }
}

const PARTITIONS: usize = 4;

fn place() -> Place {
    // The embedded broker repeats records around each rebalance, so the number of rows would not be known.
    needs_kafka();
    let place = Place::new("deployed");
    for topic in ["numbers", "more", "copied"] {
        broker().create_topic(&place.physical(topic), 4);
    }
    place
}

fn config(place: &Place, instance: &str) -> Config {
    let config = place.config().membership(Membership::Dynamic).workers(1);
    let state = place.state_dir().join(instance);
    config.state_dir(state).guarantee(Guarantee::ExactlyOnce)
}

async fn start<P: Processor>(config: Config, processor: P) -> Running {
    let running = App::new(config).processor(processor).start().await;
    running.expect("the app starts")
}

fn partitions(running: &Running) -> BTreeSet<i32> {
    let stats = running.stats();
    let partitions = stats.groups.into_iter().flat_map(|group| group.partitions);
    let up = partitions.filter(|(_, state)| *state == PartitionState::Running);
    up.map(|(partition, _)| partition).collect()
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let wait = async {
        let mut looks = interval(Duration::from_millis(20));
        while !done() {
            looks.tick().await;
        }
    };
    timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

fn feed(place: &Place, topic: &str, numbers: u64) {
    let numbers = (0..numbers).map(|n| Message::new(format!("key-{n}"), "1"));
    produce(broker().address(), &place.physical(topic), numbers);
}

async fn rows(place: &Place, rows: usize) -> BTreeMap<String, String> {
    let topic = place.physical("deployed-state");
    let read = move || {
        let mut seen = 0;
        read_until(broker().address(), &topic, |_| {
            seen += 1;
            seen >= rows
        });
        let rows = read_topic(broker().address(), &topic);
        // If two members owned a partition at the same time, its records would be processed twice, and there would be
        // more rows.
        (rows.len(), last_values(&rows))
    };
    let (seen, values) = tokio::task::spawn_blocking(read)
        .await
        .expect("the reading thread does not panic");
    assert_eq!(seen, rows, "each record must have one row");
    values
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_member_with_other_inputs_shares_the_partitions() {
    let place = place();
    let old = start(config(&place, "old"), before::sum::Processor).await;
    until("the first member runs all partitions", || {
        partitions(&old).len() == PARTITIONS
    })
    .await;
    feed(&place, "numbers", 100);
    rows(&place, 100).await;

    let new = start(config(&place, "new"), after::Sum).await;
    until("each partition runs in one of the two members", || {
        let (old, new) = (partitions(&old), partitions(&new));
        old.len() == PARTITIONS / 2 && new.len() == PARTITIONS / 2 && old.is_disjoint(&new)
    })
    .await;
    feed(&place, "numbers", 100);
    rows(&place, 200).await;

    end(old).await;
    until("the second member runs all partitions", || {
        partitions(&new).len() == PARTITIONS
    })
    .await;
    feed(&place, "more", 100);
    let sums = rows(&place, 300).await;
    let expected = (0..100).map(|n| (format!("key-{n}"), "1002".to_owned()));
    assert_eq!(sums, expected.collect());
    end(new).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn without_a_table_a_member_with_another_first_input_is_refused() {
    let place = place();
    let old = start(config(&place, "old"), before::copy::Processor).await;
    until("the first member runs all partitions", || {
        partitions(&old).len() == PARTITIONS
    })
    .await;
    let app = App::new(config(&place, "new")).processor(after::copy::Processor);
    let refusal = app
        .start()
        .await
        .expect_err("the second member must not start");
    let refusal = refusal.to_string();
    for topic in ["numbers", "more"] {
        let part = place.physical(topic);
        assert!(
            refusal.contains(&part),
            "the text must contain `{part}`: {refusal}"
        );
    }
    end(old).await;
}
