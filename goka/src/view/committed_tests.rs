//! Tests of views that show only committed rows, with a member of the group whose commits a test decides.

use std::{cell::Cell, time::Duration};

use crate::{
    base::{
        config::{Config, Guarantee},
        index::{EdgeIx, SourceIx},
        record::OwnedHeaders,
    },
    engine::{
        cut::Cut,
        edges::input_name,
        port::{Event, Kafka, Log, Outgoing, Position},
    },
    kafka::{
        Cluster, MemberSpec,
        bench::{Bench, DEADLINE, SENT_AT, STEP, until},
    },
    view::opened::View,
};

#[goka::table(group = "bill", value = i64)]
struct Bill;

/// The only member of the group `bill`, with the input `clicks`.
struct Member {
    kafka: Box<dyn Kafka + Send>,
    /// The name of the input in the group's cuts.
    input: String,
    rows: Cell<i64>,
}

impl Member {
    fn join(cluster: &Cluster) -> Self {
        cluster.create_topic("clicks", 1, false).unwrap();
        cluster.create_topic("bill-state", 1, true).unwrap();
        let topics = cluster.topics(&["clicks"]).unwrap();
        let id = topics.into_iter().flatten().next().unwrap().id;
        let table = "bill-state".to_owned();
        let kafka = cluster.member(&MemberSpec {
            group: "bill".to_owned(),
            instance: "instance".to_owned(),
            worker: 0,
            leader: table.clone(),
            sources: vec!["clicks".to_owned()],
            targets: vec![table.clone()],
            table: Some(table),
            guarantee: Guarantee::AtLeastOnce,
        });
        let member = Member {
            kafka: kafka.unwrap(),
            input: input_name("clicks", Some(&id)),
            rows: Cell::new(0),
        };
        let mut is_assigned = false;
        until("the member gets its partition", || {
            member.kafka.poll(STEP, &mut |event| {
                is_assigned |= matches!(event, Event::Assigned(_));
            });
            is_assigned
        });
        member
    }

    /// Writes a row, and waits until it is delivered.
    fn write(&self, key: &str, value: i64) {
        let (value, headers) = (value.to_string(), OwnedHeaders::new());
        let sent = self.kafka.send(&Outgoing {
            target: EdgeIx::new(0),
            partition: 0,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp: *SENT_AT,
            headers: &headers,
            tag: 0,
        });
        sent.unwrap();
        until("the row is delivered", || {
            self.kafka.serve(STEP, &mut |report| {
                report.result.unwrap();
                self.rows.set(self.rows.get() + 1);
            });
            self.kafka.in_flight() == 0
        });
    }

    /// Commits all rows that were written.
    fn commit(&self) {
        let offset = self.rows.get();
        let cut = Cut {
            changelog: offset,
            guarantee: Guarantee::AtLeastOnce,
            is_clean: false,
            at_ms: 0,
        };
        let metadata = cut.metadata([(&*self.input, offset)].into_iter());
        let position = |log, metadata: &str| Position {
            log,
            partition: 0,
            offset,
            metadata: metadata.into(),
        };
        let positions = [
            position(Log::Source(SourceIx::new(0)), "goka instance"),
            position(Log::Changelog, &metadata),
        ];
        until("the commit is taken", || {
            self.kafka.poll(Duration::ZERO, &mut |_| {});
            self.kafka.commit(&positions).is_ok()
        });
    }
}

fn config(bench: &Bench, state: &tempfile::TempDir) -> Config {
    bench.config.clone().state_dir(state.path())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.expect("it is done in time")
}

#[tokio::test]
async fn a_view_of_committed_rows_waits_for_the_commit() {
    let (bench, state) = (Bench::new(), tempfile::tempdir().unwrap());
    let (cluster, config) = (bench.cluster(), config(&bench, &state));
    let member = Member::join(&cluster);
    member.write("alice", 1);
    member.commit();
    member.write("alice", 2);

    let view = within(View::<Bill>::open_committed(&config)).await.unwrap();
    let all = within(View::<Bill>::open(&config)).await.unwrap();
    within(view.recovered()).await.unwrap();
    within(all.caught_up()).await.unwrap();
    assert_eq!(view.get("alice").unwrap(), Some(1));
    assert_eq!(all.get("alice").unwrap(), Some(2));
    let mut watch = view.watch("alice");
    let lag = view.stats().unwrap().lag;
    assert!(lag <= 1, "{lag}");

    member.commit();
    within(view.caught_up()).await.unwrap();
    assert_eq!(view.get("alice").unwrap(), Some(2));
    assert_eq!(within(watch.changed()).await.unwrap(), Some(2));
    assert_eq!(view.stats().unwrap().lag, 0);

    // The local copy that is opened again has no row that was not committed.
    member.write("alice", 3);
    within(all.caught_up()).await.unwrap();
    drop(watch);
    within(view.close()).await.unwrap();
    let view = within(View::<Bill>::open_committed(&config)).await.unwrap();
    within(view.recovered()).await.unwrap();
    assert_eq!(view.get("alice").unwrap(), Some(2));
}

#[tokio::test]
async fn rows_of_a_group_that_never_committed_are_shown() {
    let (bench, state) = (Bench::new(), tempfile::tempdir().unwrap());
    let (cluster, config) = (bench.cluster(), config(&bench, &state));
    let member = Member::join(&cluster);
    member.write("alice", 1);
    let view = within(View::<Bill>::open_committed(&config)).await.unwrap();
    within(view.recovered()).await.unwrap();
    assert_eq!(view.get("alice").unwrap(), Some(1));
}
