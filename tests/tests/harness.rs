//! Tests of the test support, on which every other test relies.

use std::process::Command;

use goka_tests::{
    Kafka, Message, Program, Proxy, an_hour_ago, broker, count_by_key, last_values, produce,
    read_topic, read_until, unique,
};

#[test]
fn what_was_produced_is_read_back_in_order() {
    let topic = unique("harness");
    broker().create_topic(&topic, 3);
    let mut messages: Vec<Message> = (0..1000)
        .map(|n| Message::new(format!("user-{}", n % 10), n.to_string()))
        .collect();
    messages[7]
        .headers
        .push(("cause".to_owned(), b"test".to_vec()));
    let sent_at = an_hour_ago();
    messages[7].timestamp = Some(sent_at);
    messages.push(Message::tombstone("user-3"));
    produce(broker().address(), &topic, messages);

    let records = read_topic(broker().address(), &topic);
    assert_eq!(records.len(), 1001);
    let eighth = records
        .iter()
        .find(|record| record.value.as_deref() == Some(b"7"));
    let eighth = eighth.expect("the record is in the topic");
    assert_eq!(
        eighth.headers,
        [("cause".to_owned(), Some(b"test".to_vec()))]
    );
    assert_eq!(eighth.timestamp, Some(sent_at));

    let counts = count_by_key(&records);
    assert_eq!(counts["user-3"], 101);
    assert_eq!(counts.values().sum::<i64>(), 1001);
    let table = last_values(&records);
    assert_eq!(table["user-2"], "992");
    assert_eq!(table.len(), 9, "user-3 must be deleted");
}

#[test]
fn an_empty_topic_reads_as_no_records() {
    let topic = unique("harness-empty");
    broker().create_topic(&topic, 2);
    assert_eq!(read_topic(broker().address(), &topic), []);
}

#[test]
fn keys_are_partitioned_as_the_jvm_clients_do_it() {
    let topic = unique("harness-partitions");
    broker().create_topic(&topic, 4);
    // A key's partition is `toPositive(murmur2(key)) % 4`. The tests of Kafka's `Utils.murmur2` list these hashes.
    let hashes = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("abc", 479_470_107),
    ];
    produce(
        broker().address(),
        &topic,
        hashes.map(|(key, _)| Message::new(key, "")),
    );
    let records = read_topic(broker().address(), &topic);
    for (key, hash) in hashes {
        let record = records.iter().find(|record| record.key_text() == key);
        let partition = record.map(|record| record.partition);
        assert_eq!(partition, Some((hash & i32::MAX) % 4), "partition of {key}");
    }
}

#[test]
fn reading_goes_on_while_a_topic_grows() {
    let topic = unique("harness-grows");
    broker().create_topic(&topic, 1);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            read_until(broker().address(), &topic, |record| {
                record.value_text() == "last"
            })
        });
        produce(broker().address(), &topic, [Message::new("a", "first")]);
        produce(broker().address(), &topic, [Message::new("a", "last")]);
        let records = reading
            .join()
            .expect("the reading thread finds the last record");
        assert_eq!(records.len(), 2);
    });
}

#[test]
#[ignore = "needs a real Kafka"]
fn a_proxy_counts_what_a_client_reads_and_can_be_cut() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(&proxy);
    let topic = unique("harness-proxy");
    let broker = kafka.broker();
    broker.create_topic(&topic, 1);
    let value = vec![b'x'; 1000];
    let messages = (0..1000).map(|_| Message::new("key", value.clone()));
    produce(broker.address(), &topic, messages);
    assert_eq!(
        proxy.bytes_served(),
        0,
        "this traffic must not pass through the proxy"
    );

    let records = read_topic(&proxy.address(), &topic);
    assert_eq!(records.len(), 1000);
    let served = proxy.bytes_served();
    assert!(
        served > 1_000_000,
        "1 MB was read through the proxy, but the proxy counted {served} bytes"
    );

    proxy.cut();
    kafka.stop();
    kafka.start_again();
    proxy.forward_to(kafka.behind());
    assert_eq!(read_topic(&proxy.address(), &topic), records);
}

#[test]
fn programs_are_watched_interrupted_and_killed() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program::run(command)
    };
    // SIGINT would not work here: a shell cannot trap SIGINT when the tests run in the background.
    let mut program = shell(
        "trap 'kill $!; echo asked to end; exit 3' TERM; sleep 600 >/dev/null 2>&1 & echo ready; wait",
    );
    program.wait_for("ready", |line| (line == "ready").then_some(()));
    program.terminate();
    assert_eq!(program.wait().code(), Some(3));
    assert!(program.output().contains("asked to end"));

    let mut program = shell("echo number 17; exec sleep 600");
    let number = program.wait_for("number", |line| {
        line.strip_prefix("number ")?.parse::<i32>().ok()
    });
    assert_eq!(number, 17);
    program.kill();
    assert!(!program.wait().success());

    shell("echo done").succeed();
}
