//! How fast clicks are counted, at what cost: one processor on a topic that is full already, by a broker that is there.
//!
//! ```sh
//! cargo bench -p goka-tests --bench clicks -- --brokers 127.0.0.1:9092 --fill
//! ```
//!
//! Prints one line of JSON. Every run is a group of its own, with an empty state; its table is compared with an
//! independent count of the topic. Run nothing else meanwhile: the broker shares the cores.

use std::{fs, process::ExitCode, time::Instant};

use clap::Parser;
use goka::{App, Config};
use goka_tests::{Broker, Message, count_by_key, last_values, produce, read_topic, unique};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::time::{Duration, interval};

#[goka::stream("clicks", value = String, partitioner = fnv1a)]
struct Clicked;

#[goka::table(group = "bench", value = i64, partitioner = fnv1a)]
struct Clicks;

#[goka::processor(group = "bench", input = Clicked, table = Clicks)]
fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

/// Counts the clicks of a topic.
#[derive(Parser)]
struct Options {
    /// Addresses of brokers.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// The topic to count, of four partitions.
    #[arg(long, default_value = "bench-clicks-2000000")]
    topic: String,
    /// Clicks in it.
    #[arg(long, default_value_t = 2_000_000)]
    clicks: u64,
    /// Users that click.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Creates the topic and fills it before.
    #[arg(long)]
    fill: bool,
    /// Threads that count.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Milliseconds between two commits.
    #[arg(long, default_value_t = 100)]
    commit_interval_ms: u64,
    /// Compares the table with an independent count, which takes memory and time of this process afterwards.
    #[arg(long)]
    verify: bool,
    /// What cargo gives to all benchmarks.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.fill {
        fill(&options);
    }
    let prefix = unique("bench") + "-";
    let state = tempfile::tempdir().expect("a temporary directory");
    let config = Config::from_env()
        .unwrap_or_else(|error| panic!("{error}"))
        .brokers(&options.brokers)
        .prefix(&prefix)
        .topic("clicks", &options.topic)
        .state_dir(state.path())
        .workers(options.workers)
        .commit_interval(Duration::from_millis(options.commit_interval_ms));
    let running = App::new(config).processor(count::Processor).start().await;
    let running = running.unwrap_or_else(|error| panic!("{error}"));

    let mut ticks = interval(Duration::from_millis(1));
    let (mut begun, mut half): (Option<Instant>, Option<Instant>) = (None, None);
    let mut handled = 0;
    while handled < options.clicks {
        ticks.tick().await;
        handled = running.stats().groups[0].handled;
        if handled > 0 {
            begun.get_or_insert_with(Instant::now);
        }
        if handled >= options.clicks / 2 {
            half.get_or_insert_with(Instant::now);
        }
    }
    let seconds = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
    let seconds_half = half.map_or(0.0, |half| half.elapsed().as_secs_f64());
    running
        .shutdown()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let closed = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
    let (cpu, memory) = (cpu_seconds(), memory_mib());
    println!(
        "{}",
        json!({
            "clicks": handled,
            "clicks_per_s": (handled as f64 / seconds).round(),
            "clicks_per_s_2nd_half": (handled as f64 / 2.0 / seconds_half).round(),
            "s_first_to_last": seconds,
            "s_first_to_closed": closed,
            "cpu_s_process": cpu,
            "max_rss_mib": memory,
        })
    );
    if options.verify && !verified(&options, &format!("{prefix}bench-state")) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn fill(options: &Options) {
    let broker = Broker::kafka(&options.brokers);
    broker.create_topic(&options.topic, 4);
    let mut chance = StdRng::seed_from_u64(42);
    let clicks = (0..options.clicks).map(|_| {
        let user = format!("user-{}", chance.random_range(0..options.users));
        let partition = Some(fnv1a(user.as_bytes()));
        Message {
            partition,
            ..Message::new(user, "2026-01-01T00:00:00.000Z")
        }
    });
    produce(&options.brokers, &options.topic, clicks);
}

/// The partition of four that Go Goka and sarama choose.
fn fnv1a(key: &[u8]) -> i32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash.cast_signed() % 4).abs()
}

fn verified(options: &Options, table: &str) -> bool {
    let expected = count_by_key(&read_topic(&options.brokers, &options.topic));
    let rows = last_values(&read_topic(&options.brokers, table));
    let differing = expected.iter().filter(|(user, clicks)| {
        rows.get(*user)
            .is_none_or(|counted| *counted != clicks.to_string())
    });
    let (differing, keys) = (differing.count(), rows.len());
    println!(
        "{}",
        json!({ "keys": keys, "keys_expected": expected.len(), "keys_differing": differing })
    );
    differing == 0 && keys == expected.len()
}

/// User and system time of this process so far. Linux only, 0 elsewhere.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces, and 11 more fields; in ticks, of which Linux shows 100 a second.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// The most memory that this process held so far. Linux only, 0 elsewhere.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
