//! The worker process: a processor whose table and output show for each input record how many times it was processed.
//! Like any program that uses goka, it is configured by environment variables.

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

/// The time between two checks of which partitions run.
const LOOK: Duration = Duration::from_millis(20);
/// One record among this many sends a loop message to another key, which may belong to another partition.
const LOOP_EVERY: i64 = 8;
/// Number of keys that receive loop messages.
const LOOP_KEYS: i64 = 40;

/// The key to which the record with this number sends a loop message; `None` if it sends none.
pub(crate) fn loop_key(number: i64) -> Option<String> {
    (number % LOOP_EVERY == 0).then(|| format!("loop-{}", number / LOOP_EVERY % LOOP_KEYS))
}

/// The input: numbered records, and tombstones, each of which deletes the row of its key.
#[goka::stream("numbers", value = i64)]
struct Numbers;

/// The output: one record for each input record, with the partition, offset and number of the input record.
#[goka::stream("echo", value = String)]
struct Echo;

/// The output of a handler that looks before it emits: one record for each input record that finds no row of its key.
#[goka::stream("first", value = String)]
struct First;

/// The table: for each key, a summary of its records, see [`Row`].
#[goka::table(value = String)]
struct Rows;

struct Chaos;

#[goka::processor(group = "chaos", table = Rows, output(Echo, First))]
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
        if ctx.value()?.is_none() {
            ctx.emit::<First>(ctx.key(), &echo)?;
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

/// The text that is written to the outputs for an input record. `number` is `None` for a tombstone.
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

/// The first word of a line of the worker's output, before the numbers of the running partitions.
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
