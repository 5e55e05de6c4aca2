//! Measures the limit: how fast librdkafka copies one topic to another on this machine, with the settings that goka
//! uses.
//!
//! Each worker has a consumer, a producer and its share of the partitions, as a worker of goka has. Unlike goka, it
//! runs no handler, keeps no state, and leaves commits to librdkafka's auto commit.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use rdkafka::{
    ClientContext, Message as _,
    consumer::Consumer,
    error::RDKafkaErrorCode,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use crate::{
    What,
    clicks::{self, Model},
    measure::{Measured, Meter},
    place::Place,
    plain,
    report::Report,
    settings::Settings,
};

const ANSWER: Duration = Duration::from_secs(10);

pub(crate) fn run(place: &Place, settings: &Settings) -> anyhow::Result<Report> {
    clicks::fill(place, settings)?;
    run_with(place, settings, &Model::of_clicks(place, settings))
}

/// Copies a topic of clicks that was filled beforehand, and checks the copy with the model.
pub(crate) fn run_with(
    place: &Place,
    settings: &Settings,
    model: &Model,
) -> anyhow::Result<Report> {
    let prefix = place.prefix();
    let copies = copies(&prefix);
    place.create(&copies, settings.partitions)?;
    let measured = place.measure(What::Raw, settings, &prefix)?;
    let verified = model.is_copied(place, &copies);
    place.delete(&copies);
    Ok(Report::new("raw", settings, measured, verified))
}

fn copies(prefix: &str) -> String {
    format!("{prefix}copies")
}

pub(crate) fn measure(settings: &Settings, prefix: &str) -> anyhow::Result<Measured> {
    let meter = Meter::start();
    let workers = i32::try_from(settings.workers).context("the number of workers is too large")?;
    let copied: anyhow::Result<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let copy = |worker| {
            let partitions = (0..settings.partitions).filter(move |n| n % workers == worker);
            scope.spawn(move || copy(settings, prefix, partitions.collect()))
        };
        let copying: Vec<_> = (0..workers.min(settings.partitions)).map(copy).collect();
        let copied = copying.into_iter().map(|worker| {
            let ended = worker.join();
            ended.map_err(|_| anyhow!("a worker panicked"))?
        });
        copied.collect()
    });
    let copied = copied?;
    let begun = copied.iter().map(|(begun, _)| *begun).min();
    let done = copied.iter().map(|(_, done)| *done).max();
    let (begun, done) = begun.zip(done).context("the input has no partitions")?;
    Ok(meter.stop(settings.messages, begun, done))
}

/// Copies these partitions up to their current ends. Returns the time at which the first message arrived, and the time
/// at which the last message was acknowledged.
fn copy(
    settings: &Settings,
    prefix: &str,
    partitions: Vec<i32>,
) -> anyhow::Result<(Instant, Instant)> {
    let input = clicks::topic(settings);
    let output = copies(prefix);
    let consumer = plain::consumer(
        settings,
        &format!("{prefix}raw"),
        &[
            ("auto.commit.interval.ms", "100"),
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "16384"),
        ],
    )?;
    let producer: BaseProducer<Delivered> = plain::producer(settings, "5", Delivered::default())?;
    let mut left = 0;
    for partition in partitions.iter().copied() {
        let (low, high) = consumer.fetch_watermarks(&input, partition, ANSWER)?;
        left += high - low;
    }
    let total = u64::try_from(left)?;
    plain::read(&consumer, &input, partitions)?;
    let mut begun = None;
    let mut waiting = Instant::now();
    while left > 0 {
        // A poll may return nothing even before its timeout, if it has served another event. So the time without a
        // message is measured here.
        let Some(message) = consumer.poll(ANSWER) else {
            ensure!(
                waiting.elapsed() < ANSWER,
                "no message arrived for {ANSWER:?}"
            );
            continue;
        };
        let message = message?;
        begun.get_or_insert_with(Instant::now);
        let mut record = BaseRecord::to(&output).partition(message.partition());
        record.key = message.key();
        record.payload = message.payload();
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(1));
            record = back;
        }
        left -= 1;
        if left % 1_000 == 0 {
            producer.poll(Duration::ZERO);
            waiting = Instant::now();
        }
    }
    let delivered = &producer.context().0;
    while delivered.load(Ordering::Relaxed) < total {
        producer.poll(Duration::from_millis(1));
        let waited = waiting.elapsed();
        ensure!(
            waited < ANSWER,
            "the broker did not acknowledge all messages within {ANSWER:?}"
        );
    }
    let done = Instant::now();
    Ok((begun.unwrap_or(done), done))
}

#[derive(Default)]
struct Delivered(AtomicU64);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
