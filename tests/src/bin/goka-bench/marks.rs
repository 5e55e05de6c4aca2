//! Marks are numbered messages that are written at a steady rate. Latency and pauses are computed from the times at
//! which marks are written and their rows arrive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use goka::Emitter;
use rdkafka::Message as _;
use tokio::time::interval;

use crate::{plain, rows, settings::Settings, table::Marks};

/// Writes marks, numbered from 0, until `is_over` returns true for the number of marks written so far. Returns the time
/// at which each mark was written.
pub(crate) async fn write(
    settings: &Settings,
    prefix: &str,
    rate: u64,
    is_over: impl Fn(u64) -> bool,
) -> anyhow::Result<Vec<Instant>> {
    let config = settings.config(prefix)?;
    let emitter = Emitter::<Marks>::new(&config)?;
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_millis(1));
    let mut written = Vec::new();
    while !is_over(written.len() as u64) {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        for mark in written.len() as u64..due {
            if is_over(mark) {
                break;
            }
            emitter.ready().await?;
            written.push(Instant::now());
            // The result is dropped because `close` reports messages that could not be delivered.
            drop(emitter.emit(&rows::key(mark % settings.users), &mark)?);
        }
    }
    emitter.close().await?;
    Ok(written)
}

/// A row that a plain client received: its mark, its partition, and the time at which it arrived.
#[derive(Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) mark: u64,
    pub(crate) partition: i32,
    pub(crate) at: Instant,
}

/// A plain client that reads rows on its own thread.
pub(crate) struct Listener {
    stop: Arc<AtomicBool>,
    heard: JoinHandle<anyhow::Result<Vec<Heard>>>,
}

impl Listener {
    /// Starts reading at the start of the topic. After `stop` is called, the client still reads until no row has
    /// arrived for a second.
    pub(crate) fn start(settings: &Settings, prefix: &str) -> anyhow::Result<Listener> {
        let no_commits = [("enable.auto.commit", "false")];
        let consumer = plain::consumer(settings, &format!("{prefix}listener"), &no_commits)?;
        let topic = format!("{prefix}marked-state");
        plain::read(&consumer, &topic, 0..settings.partitions)?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let heard = thread::spawn(move || {
            let mut heard = Vec::new();
            // The time of the last row. After a second without a row, no more rows are expected.
            let mut last = Instant::now();
            while !(stopped.load(Ordering::Relaxed) && last.elapsed() > Duration::from_secs(1)) {
                let Some(message) = consumer.poll(Duration::from_millis(50)) else {
                    continue;
                };
                let message = message?;
                last = Instant::now();
                let mark = message.payload_view::<str>().and_then(Result::ok);
                heard.push(Heard {
                    mark: mark.unwrap_or_default().parse()?,
                    partition: message.partition(),
                    at: last,
                });
            }
            Ok(heard)
        });
        Ok(Listener { stop, heard })
    }

    /// Stops the client, and returns all rows.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<Heard>> {
        self.stop.store(true, Ordering::Relaxed);
        let heard = self.heard.join();
        heard.map_err(|_| anyhow!("the thread that reads rows panicked"))?
    }
}
