//! Writes the input with a plain client: numbered records of a few hundred keys, at a steady rate, even while the
//! broker is killed. Does not record what it writes: the judge derives the expected result from the input topic.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

/// On average, one record among this many is a tombstone.
const TOMBSTONE_EVERY: u32 = 40;
/// One key among this many is deleted at the end of the run, so that no later record of the key can hide a dropped
/// tombstone.
const DELETED_AT_LAST: u32 = 7;
const TICK: Duration = Duration::from_millis(20);
/// How long writing may take before the feed fails. It is longer than any outage of the broker.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the feed writes, and how fast.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) seed: u64,
    /// Records per second.
    pub(crate) rate: u32,
    pub(crate) keys: u32,
}

/// The thread that writes the input, until [`finish`](Self::finish) is called.
pub(crate) struct Feed {
    end: Sender<()>,
    thread: JoinHandle<anyhow::Result<i64>>,
}

impl Feed {
    pub(crate) fn start(plan: Plan) -> Feed {
        let (end, ended) = channel();
        let thread = thread::spawn(move || write(&plan, &ended));
        Feed { end, thread }
    }

    /// Deletes some keys, waits until all records are acknowledged, and returns the number of records that the feed has
    /// written.
    pub(crate) fn finish(self) -> anyhow::Result<i64> {
        drop(self.end);
        let written = self.thread.join();
        written.map_err(|_| anyhow!("the thread that writes the input panicked"))?
    }
}

type Client = ThreadedProducer<DefaultProducerContext>;

fn write(plan: &Plan, ended: &Receiver<()>) -> anyhow::Result<i64> {
    let client: Client = ClientConfig::new()
        .set("bootstrap.servers", &plan.brokers)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", PATIENCE.as_millis().to_string())
        .set("linger.ms", "5")
        .create()
        .context("cannot connect to write the input")?;
    let mut chance = StdRng::seed_from_u64(plan.seed);
    let (started, mut written) = (Instant::now(), 0);
    loop {
        let due = started.elapsed().as_secs_f64() * f64::from(plan.rate);
        while (written as f64) < due {
            let key = format!("key-{}", chance.random_range(0..plan.keys));
            let is_tombstone = chance.random_range(0..TOMBSTONE_EVERY) == 0;
            let number = (!is_tombstone).then(|| written.to_string());
            send(&client, plan, &key, number.as_deref())?;
            written += 1;
        }
        match ended.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
    }
    for key in (0..plan.keys).step_by(DELETED_AT_LAST as usize) {
        send(&client, plan, &format!("key-{key}"), None)?;
        written += 1;
    }
    client.flush(PATIENCE).context("cannot write the input")?;
    Ok(written)
}

fn send(client: &Client, plan: &Plan, key: &str, value: Option<&str>) -> anyhow::Result<()> {
    let mut record = BaseRecord::to(&plan.topic).key(key);
    record.payload = value;
    let started = Instant::now();
    while let Err((error, back)) = client.send(record) {
        let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
        if !is_full || started.elapsed() > PATIENCE {
            bail!("cannot write the input: {error}");
        }
        client.poll(TICK);
        record = back;
    }
    Ok(())
}
