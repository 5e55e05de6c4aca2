//! The local copy behind views: all views of a process share it, it is caught up after a restart, and it stays readable
//! during an outage.

use std::time::{Duration, Instant};

use goka::{
    Error, View,
    view::{Update, ViewState},
};
use goka_tests::{DEADLINE, Kafka, broker, needs_kafka, produce};

use super::{Place, TOPIC, Viewed, open, pairs, place, row, within, write};

#[goka::table(group = "viewed", value = Vec<u8>)]
struct Misread;

#[tokio::test]
async fn views_of_a_table_share_one_copy() {
    let place = place(2);
    write(&place, [row("a", 1), row("b", 2)]);
    let (first, second) = (open(&place).await, open(&place).await);
    let refused = View::<Misread>::open(&place.config()).await;
    let refused = refused
        .expect_err("the view must refuse a second codec")
        .to_string();
    assert!(refused.contains("codec"), "{refused}");
    drop(first);
    write(&place, [row("a", 3)]);
    within(second.caught_up())
        .await
        .expect("the view catches up");
    assert_eq!(second.get("a").expect("the row can be read"), Some(3));
    drop(second);
    // All views are closed now. The next view has to catch up the local copy with the changelog.
    write(&place, [row("b", 4)]);
    let third = open(&place).await;
    assert_eq!(
        third.get_many(["a", "b"]).expect("the row can be read"),
        [Some(3), Some(4)]
    );
}

#[tokio::test]
async fn a_view_without_a_table_says_what_to_do() {
    let refused = View::<Viewed>::open(&Place::new("views").config()).await;
    let refused = refused
        .expect_err("the view must refuse a missing topic")
        .to_string();
    assert!(refused.contains("start that processor first"), "{refused}");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_outage_is_waited_out_and_reads_go_on() {
    let kafka = Kafka::start();
    let (place, broker) = (Place::new("views"), kafka.broker());
    let topic = place.physical(TOPIC);
    broker.create_topic_with(&topic, 2, &[("cleanup.policy", "compact")]);
    produce(broker.address(), &topic, [row("a", 1), row("b", 2)]);
    let config = place.config().brokers(broker.address());
    let view = View::<Viewed>::open(&config).await.expect("the view opens");
    within(view.recovered()).await.expect("the view recovers");
    let (mut watch, mut updates) = (view.watch("a"), view.updates());

    kafka.stop();
    assert_eq!(watch.value().expect("the row can be read"), Some(1));
    assert_eq!(pairs(view.iter()).len(), 2);
    assert_eq!(view.state(), ViewState::Running);
    view.caught_up().await.expect_err("no broker answers");
    kafka.start_again();

    produce(broker.address(), &topic, [row("a", 3)]);
    assert_eq!(
        within(watch.changed())
            .await
            .expect("the view reports the change"),
        Some(3)
    );
    let update = within(updates.next())
        .await
        .expect("the view reports the change");
    assert!(
        matches!(&update, Update::Row { key, value: Some(3) } if key == "a"),
        "{update:?}"
    );
}

/// The offsets do not show that the topic is new: the new topic has more rows than the old topic had.
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_topic_that_is_created_again_while_it_is_read_ends_the_view_and_the_next_one_is_rebuilt()
{
    needs_kafka();
    let place = place(1);
    write(&place, [row("gone", 1), row("a", 2)]);
    let config = place.config().metadata_interval(Duration::from_millis(200));
    let view = View::<Viewed>::open(&config).await.expect("the view opens");
    within(view.recovered()).await.expect("the view recovers");
    let mut states = view.state_changes();

    let topic = place.physical(TOPIC);
    broker().delete_topic(&topic);
    while broker().count_offsets(&topic).is_some() {
        tokio::task::yield_now().await;
    }
    broker().create_topic_with(&topic, 1, &[("cleanup.policy", "compact")]);
    write(&place, (3..9).map(|n| row("b", n)));
    let failed = loop {
        match within(states.next()).await {
            Some(ViewState::Failed(why)) => break why,
            Some(_) => {}
            None => panic!("the view continues as if nothing had happened"),
        }
    };
    assert!(failed.contains("created again"), "{failed}");
    assert!(failed.contains("open them again"), "{failed}");
    let refused = View::<Viewed>::open(&config).await;
    refused.expect_err("readers of the old topic are still open");
    drop((states, view));

    let view = View::<Viewed>::open(&config).await.expect("the view opens");
    within(view.recovered()).await.expect("the view recovers");
    assert_eq!(pairs(view.iter()), [("b".to_owned(), 8)]);
}

#[tokio::test]
async fn a_snapshot_that_is_held_for_too_long_is_an_error_and_a_new_one_is_not() {
    let place = place(1);
    write(&place, [row("a", 1)]);
    let config = place.config().snapshot_max(Duration::from_millis(1));
    let view = View::<Viewed>::open(&config).await.expect("the view opens");
    within(view.recovered()).await.expect("the view recovers");
    let snapshot = view.snapshot().expect("the local copy is open");
    let started = Instant::now();
    let mut value = 1;
    let error = loop {
        value += 1;
        write(&place, [row("a", value)]);
        match snapshot.get("a") {
            Ok(read) => assert_eq!(read, Some(1), "the snapshot does not change"),
            Err(error) => break error,
        }
        assert!(
            started.elapsed() < DEADLINE,
            "the snapshot must expire in time"
        );
    };
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    assert!(snapshot.iter().next().is_some_and(|row| row.is_err()));
    assert!(snapshot.len().is_err());
    within(view.caught_up()).await.expect("the view catches up");
    assert_eq!(view.get("a").expect("the row can be read"), Some(value));
    view.snapshot().expect("a new snapshot can be taken");
}
