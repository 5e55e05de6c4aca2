//! What a handler that waits costs: one of eight partitions has a large backlog behind it, the other seven go on.
//!
//! ```sh
//! cargo bench -p goka-tests --bench backlog -- --brokers 127.0.0.1:9092
//! ```
//!
//! Prints one line of JSON: how long the seven took, the most memory while the one waited, and that all was counted.

use std::{fs, process::ExitCode, sync::Arc, time::Instant};

use clap::Parser;
use goka::{App, BoxError, Config, Context};
use goka_tests::{Broker, Message, produce, unique};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Duration, interval},
};

const PARTITIONS: i32 = 8;

#[goka::stream("letters", value = Vec<u8>)]
struct Letters;

#[goka::table(group = "post", value = u64)]
struct Post;

struct Office {
    permits: Arc<Semaphore>,
}

#[goka::processor(group = "post", table = Post)]
impl Office {
    #[input(Letters)]
    async fn letter(&self, ctx: &mut Context<'_, Self>, _letter: Vec<u8>) -> Result<(), BoxError> {
        if ctx.key() == "stuck" {
            self.permits.acquire().await?.forget();
        }
        let letters = ctx.value()?.unwrap_or(0);
        Ok(ctx.set_value(&(letters + 1))?)
    }
}

/// Lets one partition wait with a backlog behind it.
#[derive(Parser)]
struct Options {
    /// Addresses of brokers.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// Megabytes behind the handler that waits.
    #[arg(long, default_value_t = 1_000)]
    backlog_mb: usize,
    /// Records for each other partition.
    #[arg(long, default_value_t = 50_000)]
    others: usize,
    /// Threads that handle records.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// What cargo gives to all benchmarks.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let prefix = unique("backlog") + "-";
    let behind = fill(&options, &format!("{prefix}letters"));
    let others = options.others * 7;
    // The memory that filling took is not the processor's, but not all of it is given back.
    fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
    let memory_before = memory_mib();
    let state = tempfile::tempdir().expect("a temporary directory");
    let config = Config::from_env()
        .unwrap_or_else(|error| panic!("{error}"))
        .brokers(&options.brokers)
        .prefix(&prefix)
        .state_dir(state.path())
        .workers(options.workers);
    let permits = Arc::new(Semaphore::new(0));
    let office = Office {
        permits: permits.clone(),
    };
    let before = Instant::now();
    let running = App::new(config).processor(office).start().await;
    let running = running.unwrap_or_else(|error| panic!("{error}"));
    let handled = async |records: usize| {
        let mut ticks = interval(Duration::from_millis(5));
        while running.stats().groups[0].handled < records as u64 {
            ticks.tick().await;
        }
    };
    handled(others).await;
    let (seconds_others, memory_waiting) = (before.elapsed().as_secs_f64(), memory_mib());
    permits.add_permits(1);
    handled(others + behind + 1).await;
    let seconds = before.elapsed().as_secs_f64();
    let handled = running.stats().groups[0].handled;
    let ended = running.shutdown().await;
    ended.unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{}",
        json!({
            "backlog_mb": options.backlog_mb,
            "others": others,
            "s_others": seconds_others,
            "max_rss_mib_before": memory_before,
            "max_rss_mib_while_waiting": memory_waiting,
            "s_all": seconds,
            "max_rss_mib": memory_mib(),
            "handled": handled,
        })
    );
    match handled == (others + behind + 1) as u64 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// How many records stand behind the one that waits.
fn fill(options: &Options, topic: &str) -> usize {
    const LETTER_BYTES: usize = 10_000;
    Broker::kafka(&options.brokers).create_topic(topic, PARTITIONS);
    let behind = options.backlog_mb * 1_000_000 / LETTER_BYTES;
    let letter = |key: String, partition: i32, bytes: usize| Message {
        partition: Some(partition),
        ..Message::new(key, vec![b'x'; bytes])
    };
    let stuck = std::iter::once(letter("stuck".to_owned(), 0, 1));
    let backlog = (0..behind).map(|n| letter(format!("behind-{}", n % 1_000), 0, LETTER_BYTES));
    let others = (1..PARTITIONS).flat_map(|partition| {
        (0..options.others)
            .map(move |n| letter(format!("{partition}-{}", n % 1_000), partition, 20))
    });
    produce(&options.brokers, topic, stuck.chain(backlog).chain(others));
    behind
}

/// The most memory that this process held since it was last reset. Linux only, 0 elsewhere.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
