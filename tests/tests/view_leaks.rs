//! A closed view leaks no files, threads or memory maps. The test is in a test program of its own, where nothing else
//! opens any of these. It runs only on Linux, where they can be counted.

#![cfg(target_os = "linux")]

mod place;

use std::fs;

use goka::View;
use goka_tests::{DEADLINE, Message, broker, produce};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "viewed", value = i64)]
struct Viewed;

/// Number of views that are opened and closed. It is far above the allowed difference, so that a leak in each round
/// would be found.
const ROUNDS: usize = 40;

#[derive(Debug, PartialEq, Eq)]
struct Resources {
    files: usize,
    threads: usize,
    /// Number of memory maps of files of local copies.
    maps: usize,
}

fn resources() -> Resources {
    let entries = |path| {
        fs::read_dir(path)
            .expect("/proc must exist on Linux")
            .count()
    };
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc must exist on Linux");
    Resources {
        files: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        maps: maps.lines().filter(|line| line.contains(".mdb")).count(),
    }
}

async fn open_and_close(place: &Place, value: i64) {
    let view = View::<Viewed>::open(&place.config())
        .await
        .expect("the view opens");
    let other = View::<Viewed>::open(&place.config())
        .await
        .expect("the view opens");
    let recovered = timeout(DEADLINE, view.recovered()).await;
    recovered
        .expect("the operation ends in time")
        .expect("the view recovers");
    let (mut watch, updates, snapshot) = (view.watch("a"), view.updates(), view.snapshot());
    drop(other);
    view.close().await.expect("the view closes");
    assert_eq!(watch.value().expect("the row can be read"), Some(value));
    // Only these three values still keep the local copy open.
    drop((watch, updates, snapshot));
}

#[tokio::test]
async fn views_give_back_what_they_took() {
    let place = Place::new("leaks");
    let topic = place.physical("viewed-state");
    broker().create_topic(&topic, 2);
    produce(broker().address(), &topic, [Message::new("a", "7")]);
    for _ in 0..3 {
        open_and_close(&place, 7).await;
    }
    let before = resources();
    assert_eq!(before.maps, 0);
    for _ in 0..ROUNDS {
        open_and_close(&place, 7).await;
    }
    let after = resources();
    // librdkafka may close a connection a little later, so a small difference is allowed.
    let slack = 4;
    assert!(
        after.files <= before.files + slack
            && after.threads <= before.threads + slack
            && after.maps == 0,
        "the process must not hold more resources than before: {before:?} before, {after:?} after"
    );
}
