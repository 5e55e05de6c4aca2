//! Tests of topics and groups: describing them, and creating topics.

use super::*;

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
        assert_eq!(table.compaction_lag_ms, Some(3_600_000));
        assert_eq!(clicks.compaction_lag_ms, Some(0));
    }
}

#[test]
fn members_of_a_group_are_told() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 1);
    assert_eq!(cluster.members("group").unwrap(), []);
    let _holder = Holder::of_all(&cluster, 1);
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
    // The port was free a moment ago, so nobody listens on it.
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
