//! Exactly-once: kills, pauses and rebalances do not change the result. A plain client that reads only committed
//! records finds every click counted once. Needs a real Kafka, because the embedded broker does not hide aborted
//! records, and repeats records around rebalances.

use std::time::{Duration, Instant};

use goka_tests::{Clicks, Kafka, Program, Proxy, broker, needs_kafka, read_topic};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

/// A random generator. Its seed is printed, so that a run can be repeated.
fn chance() -> StdRng {
    let seed = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn exactly_once(broker: &goka_tests::Broker) -> Clicks<'_> {
    let mut clicks = Clicks::on(broker);
    clicks.set("GOKA_GUARANTEE", "exactly_once");
    clicks
}

fn wait_for_partitions(processor: &mut Program, partitions: usize) {
    let wanted = format!("{partitions} of 4 partitions run here");
    processor.wait_for(&wanted, |line| line.contains(&wanted).then_some(()));
}

/// Waits until every click is counted, and checks every committed row: each row of a user must count one more than the
/// row before, and the last rows must be the expected counts.
fn all_counted_once(clicks: &Clicks<'_>) {
    let expected = clicks.expected();
    clicks.wait_until_all_counted(&expected);
    assert_eq!(clicks.counted(), expected);
    let mut counted = std::collections::BTreeMap::<String, i64>::new();
    for row in read_topic(clicks.address(), &clicks.table()) {
        let before = counted.entry(row.key_text().to_owned()).or_default();
        *before += 1;
        assert_eq!(row.value_text(), before.to_string(), "{row:?}");
    }
    assert_eq!(counted, expected);
}

#[test]
fn counts_every_click_once() {
    let clicks = exactly_once(broker());
    clicks.produce(20_000, 500);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(20_000);
    processor.interrupt();
    processor.succeed();
    let mut processor = clicks.processor("one");
    clicks.produce_more(10_000, 500);
    clicks.wait_until_counted(30_000);
    processor.interrupt();
    processor.succeed();
    all_counted_once(&clicks);
}

#[test]
#[ignore = "needs a real Kafka"]
fn killed_at_random_moments_it_counts_every_click_once() {
    needs_kafka();
    let mut chance = chance();
    let clicks = exactly_once(broker());
    clicks.produce(200_000, 5_000);
    let mut rows = 0;
    for _ in 0..15 {
        let mut processor = clicks.processor("one");
        rows += chance.random_range(1..10_000);
        clicks.wait_for_rows(rows);
        processor.kill();
    }
    let mut processor = clicks.processor("one");
    all_counted_once(&clicks);
    processor.interrupt();
    processor.succeed();
}

#[test]
#[ignore = "needs a real Kafka"]
fn killed_and_taken_over_by_another_it_counts_every_click_once() {
    needs_kafka();
    let mut clicks = exactly_once(broker());
    clicks.set("GOKA_MEMBERSHIP", "dynamic");
    clicks.produce(60_000, 500);
    let mut other = clicks.processor("other");
    wait_for_partitions(&mut other, 4);
    for round in 0..3 {
        let mut one = clicks.processor("one");
        wait_for_partitions(&mut one, 2);
        wait_for_partitions(&mut other, 2);
        clicks.produce_more(30_000, 500);
        clicks.wait_for_rows(60_000 + round * 30_000 + 3_000);
        one.kill();
        let killed = Instant::now();
        wait_for_partitions(&mut other, 4);
        println!(
            "partitions ran in another process after {:?}",
            killed.elapsed()
        );
    }
    all_counted_once(&clicks);
    other.interrupt();
    other.succeed();
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_second_processor_joins_and_leaves_and_every_click_is_counted_once() {
    needs_kafka();
    let clicks = exactly_once(broker());
    let mut emitter = clicks.emitting(&["--rate", "3000", "--users", "500"]);
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    for _ in 0..2 {
        let mut two = clicks.processor("two");
        wait_for_partitions(&mut two, 2);
        wait_for_partitions(&mut one, 2);
        two.interrupt();
        two.succeed();
        wait_for_partitions(&mut one, 4);
    }
    emitter.interrupt();
    emitter.succeed();
    all_counted_once(&clicks);
    one.interrupt();
    one.succeed();
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_processor_that_was_paused_past_its_session_does_no_harm() {
    needs_kafka();
    let clicks = exactly_once(broker());
    let mut emitter = clicks.emitting(&["--rate", "3000", "--users", "500"]);
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    let mut two = clicks.processor("two");
    wait_for_partitions(&mut two, 2);
    for _ in 0..2 {
        one.pause();
        // Once `two` runs the partitions of `one`, the session of `one` has timed out.
        wait_for_partitions(&mut two, 4);
        one.resume();
        wait_for_partitions(&mut two, 2);
    }
    emitter.interrupt();
    emitter.succeed();
    all_counted_once(&clicks);
    for mut processor in [one, two] {
        processor.interrupt();
        processor.succeed();
    }
}

#[test]
#[ignore = "needs a real Kafka"]
fn whatever_happens_to_three_processors_every_click_is_counted_once() {
    needs_kafka();
    let mut chance = chance();
    let clicks = exactly_once(broker());
    let mut emitter = clicks.emitting(&["--rate", "2000", "--users", "500"]);
    let names = ["one", "two", "three"];
    let mut processors = names.map(|name| clicks.processor(name));
    let mut rows = 0;
    for _ in 0..10 {
        rows += chance.random_range(1..8_000);
        clicks.wait_for_rows(rows);
        let which = chance.random_range(0..names.len());
        let (name, processor) = (names[which], &mut processors[which]);
        match chance.random_range(0..3) {
            0 => processor.kill(),
            1 => {
                processor.interrupt();
                processor.succeed();
            }
            _ => {
                processor.pause();
                // The pause may be shorter than the session timeout. If the other processors write these rows only
                // after the timeout, the pause is longer.
                rows += chance.random_range(1..20_000);
                clicks.wait_for_rows(rows);
                processor.resume();
                continue;
            }
        }
        *processor = clicks.processor(name);
    }
    emitter.interrupt();
    emitter.succeed();
    all_counted_once(&clicks);
    for mut processor in processors {
        processor.interrupt();
        processor.succeed();
    }
}

#[test]
#[ignore = "needs a real Kafka"]
fn after_a_kill_only_the_tail_is_read_again() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let broker = kafka.broker();
    let mut clicks = exactly_once(&broker);
    clicks.produce(120_000, 100_000);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(120_000);
    processor.interrupt();
    processor.succeed();
    // All rows so far are stored in the local copy. The kill comes while little input is left, because input that is
    // read again after the kill counts as well.
    let mut processor = clicks.processor("one");
    wait_for_partitions(&mut processor, 4);
    clicks.produce_more(4_000, 100_000);
    processor.kill();

    clicks.go_through(&proxy.address());
    let before = proxy.bytes_served();
    let mut processor = clicks.processor("one");
    wait_for_partitions(&mut processor, 4);
    processor.kill();
    let tail = proxy.bytes_served() - before;
    std::fs::remove_dir_all(clicks.state("one"))
        .expect("the state of a processor that was killed can be removed");
    let before = proxy.bytes_served();
    let mut processor = clicks.processor("one");
    wait_for_partitions(&mut processor, 4);
    let whole = proxy.bytes_served() - before;
    println!("read {tail} bytes with the local copy, {whole} bytes without");
    assert!(
        tail * 3 < whole,
        "read {tail} bytes with the local copy, {whole} bytes without"
    );
    all_counted_once(&clicks);
}

#[test]
#[ignore = "needs a real Kafka"]
fn an_outage_in_the_middle_is_waited_out_and_every_click_is_counted_once() {
    let kafka = Kafka::start();
    let broker = kafka.broker();
    let clicks = exactly_once(&broker);
    clicks.produce(100_000, 500);
    let mut processor = clicks.processor("one");
    clicks.wait_for_rows(5_000);
    kafka.stop();
    kafka.start_again();
    all_counted_once(&clicks);
    processor.interrupt();
    processor.succeed();
}

/// The new owner of a partition ends the open transaction of the previous owner long before the transaction times out.
/// The transaction is open in the changelog and in the group's offsets.
#[test]
#[ignore = "needs a real Kafka"]
fn a_transaction_that_was_left_open_is_ended() {
    needs_kafka();
    let mut clicks = exactly_once(broker());
    clicks.set("GOKA_MEMBERSHIP", "dynamic");
    clicks.set("GOKA_WORKERS", "1");
    clicks.set("GOKA_INSTANCE_ID", "gone");
    clicks.produce(1_000, 10);
    let mut processor = clicks.processor("one");
    clicks.wait_until_counted(1_000);
    processor.interrupt();
    processor.succeed();

    let group = clicks.table().replace("-state", "");
    let id = format!("{group}-gone-0");
    let ghost = Ghost::begin(&clicks, &group, &id);
    clicks.set("GOKA_INSTANCE_ID", "successor");
    let began = Instant::now();
    let mut processor = clicks.processor("one");
    wait_for_partitions(&mut processor, 4);
    println!("the processor ran after {:?}", began.elapsed());
    clicks.produce_more(1_000, 10);
    all_counted_once(&clicks);
    processor.interrupt();
    processor.succeed();
    ghost.cannot_commit();
}

/// A zombie: a producer with an open transaction, under the transactional id that a previous owner of partition 0 used.
struct Ghost(BaseProducer);

impl Ghost {
    fn begin(clicks: &Clicks<'_>, group: &str, id: &str) -> Ghost {
        const WAIT: Duration = Duration::from_secs(20);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", clicks.address())
            .set("group.id", group)
            .create()
            .expect("the settings of the consumer are valid");
        let mut inputs = TopicPartitionList::new();
        inputs.add_partition(&clicks.input(), 0);
        let offsets = consumer
            .committed_offsets(inputs, WAIT)
            .expect("the committed offsets can be read");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", clicks.address())
            .set("transactional.id", id)
            .set("transaction.timeout.ms", "600000")
            .create()
            .expect("the settings of the producer are valid");
        producer
            .init_transactions(WAIT)
            .expect("the producer gets a producer id");
        producer
            .begin_transaction()
            .expect("the transaction begins");
        let table = clicks.table();
        let row = BaseRecord::to(&table).partition(0).key("user-0");
        let sent = producer.send(row.payload("999999"));
        sent.map_err(|(error, _)| error)
            .expect("the producer's queue has room");
        producer.flush(WAIT).expect("the broker accepts the record");
        let membership = consumer
            .group_metadata()
            .expect("the consumer is a member of a group");
        producer
            .send_offsets_to_transaction(&offsets, &membership, WAIT)
            .expect("the broker accepts the offsets");
        Ghost(producer)
    }

    fn cannot_commit(&self) {
        let committed = self.0.commit_transaction(Duration::from_secs(20));
        assert!(committed.is_err(), "the producer must be fenced");
    }
}
