//! The program that is killed: a processor whose table and outputs tell of every record whether it was handled, and how
//! often. Where it runs and what it may not lose is said by the environment, as for any program of goka.

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

/// How often it looks which partitions run.
const LOOK: Duration = Duration::from_millis(20);
/// One record of so many is told to another key as well, which may be in another partition.
const LOOP_EVERY: i64 = 8;
/// Keys that are told to.
const LOOP_KEYS: i64 = 40;

/// The key that a record is told to as well, if it is one of those.
pub(crate) fn loop_key(number: i64) -> Option<String> {
    (number % LOOP_EVERY == 0).then(|| format!("loop-{}", number / LOOP_EVERY % LOOP_KEYS))
}

/// Records that are numbered; a tombstone deletes the row.
#[goka::stream("numbers", value = i64)]
struct Numbers;

/// One for each record of the input: where that stood, and what it held.
#[goka::stream("echo", value = String)]
struct Echo;

/// What came of the records of each key.
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

/// What is written to the output for a record of the input.
pub(crate) fn echo(partition: i32, offset: i64, number: Option<i64>) -> String {
    let held = number.map_or("tombstone".to_owned(), |number| number.to_string());
    format!("{partition} {offset} {held}")
}

/// Runs until its input is closed, as that of a process whose parent is gone is, too. Says at every change which
/// partitions run here.
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

/// Before the numbers of the partitions that run, on a line of the worker's output.
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
