//! The copy behind views: shared, topped up, and kept through an outage.

use goka::{Update, View, ViewState};
use goka_tests::{Kafka, produce};

use super::{Place, TOPIC, Viewed, open, pairs, place, row, within, write};

#[goka::table(group = "viewed", value = Vec<u8>)]
struct Misread;

#[tokio::test]
async fn views_of_a_table_share_one_copy() {
    let place = place(2);
    write(&place, [row("a", 1), row("b", 2)]);
    let (first, second) = (open(&place).await, open(&place).await);
    let refused = View::<Misread>::open(&place.config()).await;
    let refused = refused.expect_err("two codecs").to_string();
    assert!(refused.contains("codec"), "{refused}");
    drop(first);
    write(&place, [row("a", 3)]);
    within(second.caught_up()).await.expect("it is followed");
    assert_eq!(second.get("a").expect("it is read"), Some(3));
    drop(second);
    // Closed, and topped up by the next one.
    write(&place, [row("b", 4)]);
    let third = open(&place).await;
    assert_eq!(
        third.get_many(["a", "b"]).expect("it is read"),
        [Some(3), Some(4)]
    );
}

#[tokio::test]
async fn a_view_without_a_table_says_what_to_do() {
    let refused = View::<Viewed>::open(&Place::new("views").config()).await;
    let refused = refused.expect_err("there is no topic").to_string();
    assert!(refused.contains("start that first"), "{refused}");
}

#[tokio::test]
async fn an_outage_is_waited_out_and_reads_go_on() {
    let Some(kafka) = Kafka::start() else {
        return;
    };
    let (place, broker) = (Place::new("views"), kafka.broker());
    let topic = place.physical(TOPIC);
    broker.create_topic_with(&topic, 2, &[("cleanup.policy", "compact")]);
    produce(broker.address(), &topic, [row("a", 1), row("b", 2)]);
    let config = place.config().brokers(broker.address());
    let view = View::<Viewed>::open(&config).await.expect("it opens");
    within(view.recovered()).await.expect("it recovers");
    let (mut watch, mut updates) = (view.watch("a"), view.updates());

    kafka.stop();
    assert_eq!(watch.value().expect("it is read"), Some(1));
    assert_eq!(pairs(view.iter()).len(), 2);
    assert_eq!(view.state(), ViewState::Running);
    view.caught_up().await.expect_err("nobody answers");
    kafka.start_again();

    produce(broker.address(), &topic, [row("a", 3)]);
    assert_eq!(
        within(watch.changed()).await.expect("it is followed"),
        Some(3)
    );
    let update = within(updates.next()).await.expect("it is followed");
    assert!(
        matches!(&update, Update::Row { key, value: Some(3) } if key == "a"),
        "{update:?}"
    );
}
