//! The limit of latency: a process that forwards marks from one topic to another with plain rdkafka and the settings
//! that goka uses, without handlers and without state.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rdkafka::{
    Message as _,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use tokio::io::{AsyncReadExt, stdin};

use crate::{plain, settings::Settings};

const WAIT: Duration = Duration::from_millis(5);

/// Prints the partitions that it serves, which are all partitions, and then forwards marks until standard input is
/// closed.
pub(crate) async fn serve(settings: &Settings, prefix: &str) -> anyhow::Result<()> {
    let all: Vec<i32> = (0..settings.partitions).collect();
    println!("{}", serde_json::to_string(&all)?);
    let (stop, workers) = (AtomicBool::new(false), i32::try_from(settings.workers)?);
    let stopped = &stop;
    let end = tokio::spawn(async { stdin().read(&mut [0]).await.map(drop) });
    thread::scope(|scope| {
        let pass = |worker| {
            let partitions: Vec<i32> = all
                .iter()
                .copied()
                .filter(|n| n % workers == worker)
                .collect();
            scope.spawn(move || pass(settings, prefix, &partitions, stopped))
        };
        let passing: Vec<_> = (0..workers).map(pass).collect();
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(end))??;
        stop.store(true, Ordering::Relaxed);
        passing.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))?
        })
    })
}

fn pass(
    settings: &Settings,
    prefix: &str,
    partitions: &[i32],
    stopped: &AtomicBool,
) -> anyhow::Result<()> {
    let (input, output) = (format!("{prefix}marks"), format!("{prefix}marked-state"));
    let no_commits = [("enable.auto.commit", "false")];
    let consumer = plain::consumer(settings, &format!("{prefix}relay"), &no_commits)?;
    plain::read(&consumer, &input, partitions.iter().copied())?;
    let producer: BaseProducer = plain::producer(settings, "1", DefaultProducerContext)?;
    while !stopped.load(Ordering::Relaxed) {
        producer.poll(Duration::ZERO);
        let Some(message) = consumer.poll(WAIT) else {
            continue;
        };
        let message = message?;
        let mut record = BaseRecord::to(&output).partition(message.partition());
        record.key = message.key();
        record.payload = message.payload();
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(Duration::from_secs(10))?)
}
