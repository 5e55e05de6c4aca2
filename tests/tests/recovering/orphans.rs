//! A static member is killed in the middle of a rebalance, after it has given up partitions and before these partitions
//! have a new owner.

use goka_tests::{Clicks, Program, broker, needs_kafka};

fn wait_for_partitions(processor: &mut Program, partitions: usize) {
    let wanted = format!("{partitions} of 4 partitions run here");
    processor.wait_for(&wanted, |line| line.contains(&wanted).then_some(()));
}

#[test]
#[ignore = "needs a real Kafka"]
fn partitions_that_were_given_up_before_a_kill_get_an_owner() {
    needs_kafka();
    let mut clicks = Clicks::on(broker());
    clicks.set("GOKA_WORKERS", "1");
    clicks.produce(1_000, 100);
    clicks.set("GOKA_CRASH_AT", "released");
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 4);
    clicks.set("GOKA_CRASH_AT", "released:1000");
    let mut two = clicks.processor("two");
    assert!(
        !one.wait().success(),
        "the process must kill itself after giving up its partitions"
    );
    let mut one = clicks.processor("one");
    wait_for_partitions(&mut one, 2);
    wait_for_partitions(&mut two, 2);
    clicks.produce_more(1_000, 100);
    clicks.wait_until_all_counted(&clicks.expected());
    for mut processor in [one, two] {
        processor.interrupt();
        processor.succeed();
    }
}
