//! A member loses the network for longer than its session timeout, and continues as far as it can. When the network is
//! back, the member learns that the group has removed it.

use std::time::{Duration, Instant};

use goka_tests::{Clicks, Kafka, Program, Proxy};

fn wait_for_partitions(processor: &mut Program, partitions: usize) {
    let wanted = format!("{partitions} of 4 partitions run here");
    processor.wait_for(&wanted, |line| line.contains(&wanted).then_some(()));
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_member_that_was_cut_off_does_no_harm() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let broker = kafka.broker();
    for guarantee in ["at_least_once", "exactly_once"] {
        let mut clicks = Clicks::on(&broker);
        clicks.set("GOKA_GUARANTEE", guarantee);
        clicks.set("GOKA_WORKERS", "1");
        let mut emitter = clicks.emitting(&["--rate", "1000", "--users", "200"]);
        let mut near = clicks.processor("near");
        clicks.go_through(&proxy.address());
        let mut far = clicks.processor("far");
        wait_for_partitions(&mut far, 2);
        wait_for_partitions(&mut near, 2);

        proxy.cut();
        wait_for_partitions(&mut near, 4);
        proxy.forward_to(kafka.behind());
        wait_for_partitions(&mut near, 2);
        wait_for_partitions(&mut far, 2);
        emitter.interrupt();
        emitter.succeed();

        let expected = clicks.expected();
        clicks.wait_until_committed();
        for mut processor in [near, far] {
            processor.interrupt();
            processor.succeed();
        }
        assert_eq!(clicks.counted(), expected, "{guarantee}");
    }
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_shutdown_does_not_wait_for_brokers_that_are_down() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let broker = kafka.broker();
    for guarantee in ["at_least_once", "exactly_once"] {
        let mut clicks = Clicks::on(&broker);
        clicks.set("GOKA_GUARANTEE", guarantee);
        clicks.set("GOKA_WORKERS", "1");
        let _emitter = clicks.emitting(&["--rate", "1000", "--users", "200"]);
        clicks.go_through(&proxy.address());
        let mut processor = clicks.processor("one");
        wait_for_partitions(&mut processor, 4);
        clicks.wait_for_rows(2_000);

        proxy.cut();
        // The processor drops undelivered records, and then each partition is in the phase of fetching its offsets.
        wait_for_partitions(&mut processor, 0);
        let asked = Instant::now();
        processor.terminate();
        processor.wait();
        let took = asked.elapsed();
        println!("{guarantee}: {took:?}");
        assert!(took < Duration::from_secs(10), "{guarantee}: {took:?}");
        proxy.forward_to(kafka.behind());
    }
}
