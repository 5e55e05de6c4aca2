//! If a local copy outgrows its map size, the processor ends with an error that names the setting. After a restart with
//! a larger map, the processor goes on, and no row is missing.

mod place;

use std::collections::BTreeMap;

use goka::{App, Error};
use goka_tests::{DEADLINE, Message, broker, last_values, produce, wait_for_values};
use place::Place;
use tokio::time::timeout;

#[goka::stream("texts", value = String)]
struct Texts;
#[goka::table(value = String)]
struct Latest;

#[goka::processor(group = "latest", input = Texts, table = Latest)]
fn keep(ctx: &mut keep::Context, text: String) -> goka::Result {
    ctx.set_value(&text)
}

#[tokio::test]
async fn a_full_map_names_its_setting_and_goes_on_with_a_larger_one() {
    let place = Place::new("map-size");
    broker().create_topic(&place.physical("texts"), 4);
    let texts: BTreeMap<_, _> = (0..1_200)
        .map(|n| (format!("key {n}"), "x".repeat(5_000)))
        .collect();
    let messages = texts
        .iter()
        .map(|(key, text)| Message::new(key.as_str(), text.as_str()));
    produce(broker().address(), &place.physical("texts"), messages);

    let app = App::new(place.config().map_size(1 << 20)).processor(keep::Processor);
    let mut running = app.start().await.expect("the app starts");
    let ended = timeout(DEADLINE, running.wait()).await;
    let error = ended
        .expect("the app ends in time")
        .expect_err("the map is full");
    assert!(matches!(error, Error::State { .. }), "{error}");
    for part in [
        "map size",
        "GOKA_MAP_BYTES",
        "restart with a larger map size",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }

    let app = App::new(place.config().map_size(64 << 20)).processor(keep::Processor);
    let running = app.start().await.expect("the app starts");
    // The records of the commit interval in which the processor failed are processed again.
    let rows = wait_for_values(place.physical("latest-state"), texts.clone()).await;
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
    assert_eq!(last_values(&rows), texts);
}
