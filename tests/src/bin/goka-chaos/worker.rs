//! The worker process: a processor whose table and output show for every input record how many times it was processed.
//! Configured through the environment, as any program that uses goka.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use goka::{App, Config, Context, Running, app::PartitionState};
use tokio::{
    io::{AsyncReadExt as _, stdin},
    time::interval,
};

use crate::row::Row;

/// Interval between checks of which partitions run.
const LOOK: Duration = Duration::from_millis(20);
/// One record in this many sends a loop message to another key, which may be in another partition.
const LOOP_EVERY: i64 = 8;
/// Number of keys that receive loop messages.
const LOOP_KEYS: i64 = 40;

/// The key to which a record sends a loop message, if it sends one.
pub(crate) fn loop_key(number: i64) -> Option<String> {
    (number % LOOP_EVERY == 0).then(|| format!("loop-{}", number / LOOP_EVERY % LOOP_KEYS))
}

/// The input: numbered records, and tombstones, which delete the row.
#[goka::stream("numbers", value = i64)]
struct Numbers;

/// One record for each input record: its partition, its offset and its number.
#[goka::stream("echo", value = String)]
struct Echo;

/// A summary of the records of each key, see [`Row`].
#[goka::table(value = String)]
struct Rows;

struct Chaos;

#[goka::processor(group = "chaos", table = Rows, output = Echo)]
impl Chaos {
    #[input(Numbers)]
    fn number(&self, ctx: &mut Context<'_, Self>, number: Option<i64>) -> anyhow::Result<()> {
        let echo = echo(ctx.partition(), ctx.offset(), number);
        ctx.emit::<Echo>(ctx.key(), &echo)?;
        let Some(number) = number else {
            return Ok(ctx.delete()?);
        };
        if let Some(key) = loop_key(number) {
            ctx.loopback(&key, &number)?;
        }
        let row = Row::after(ctx.value()?.as_deref(), ctx.offset(), number)?;
        Ok(ctx.set_value(&row.to_string())?)
    }

    #[loopback]
    fn told(&self, ctx: &mut Context<'_, Self>, number: i64) -> anyhow::Result<()> {
        let row = Row::after(ctx.value()?.as_deref(), ctx.offset(), number)?;
        Ok(ctx.set_value(&row.to_string())?)
    }
}

/// The text that is written to the output for an input record.
pub(crate) fn echo(partition: i32, offset: i64, number: Option<i64>) -> String {
    let held = number.map_or("tombstone".to_owned(), |number| number.to_string());
    format!("{partition} {offset} {held}")
}

/// Runs until standard input is closed, which also happens when the parent process ends. Prints the running partitions
/// whenever they change.
pub(crate) async fn run() -> anyhow::Result<()> {
    let mut input = Vec::new();
    let mut stdin = stdin();
    let mut asked_to_end = pin!(stdin.read_to_end(&mut input));
    let start = App::new(Config::from_env()?).processor(Chaos).start();
    let mut running = tokio::select! {
        started = start => started?,
        _ = &mut asked_to_end => return Ok(()),
    };
    let mut ticks = interval(LOOK);
    let mut said = BTreeSet::new();
    loop {
        tokio::select! {
            ended = running.wait() => return Ok(ended?),
            _ = &mut asked_to_end => return Ok(running.shutdown().await?),
            _ = ticks.tick() => {
                let here = up(&running);
                if here != said {
                    say(&here)?;
                    said = here;
                }
            }
        }
    }
}

/// The word before the partition numbers on a line of the worker's output.
pub(crate) const RUNNING: &str = "running";

fn say(partitions: &BTreeSet<i32>) -> io::Result<()> {
    let numbers: Vec<_> = partitions.iter().map(i32::to_string).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "{RUNNING} {}", numbers.join(" "))?;
    out.flush()
}

fn up(running: &Running) -> BTreeSet<i32> {
    let stats = running.stats();
    let partitions = stats.groups.into_iter().flat_map(|group| group.partitions);
    let up = partitions.filter(|(_, state)| *state == PartitionState::Running);
    up.map(|(partition, _)| partition).collect()
}
