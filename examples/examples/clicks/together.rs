//! Runs all roles in one process. At the end, checks that the table holds as many clicks as were emitted.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use goka::{App, Config, Emitter, Running, View};
use tokio::{
    sync::watch,
    time::{interval, sleep},
};

use crate::{
    Clicks, UserClicks, count,
    emitter::emit,
    options::Options,
    processor::{all_run, progress},
    screen::Screen,
    table::Table,
    view::{REFRESH, Speed, recovered},
};

/// Maximum number of clicks that are emitted but not yet in the view. The embedded broker keeps 5 MB or 100,000
/// batches per partition; 50,000 clicks are less than that, even if all of them go to one partition.
const AHEAD_MAX: u64 = 50_000;
/// Minimum time between two reads of the table.
const LOOK: Duration = Duration::from_millis(20);
/// How long no click may be counted until the remaining clicks are considered lost.
const STALLED: Duration = Duration::from_secs(30);

/// Emits, counts and shows clicks until `--clicks` are counted, or until Ctrl-C.
pub(crate) async fn run(options: &Options, config: Config) -> Result<()> {
    let mut screen = Screen::new();
    let mut running = App::new(config.clone())
        .processor(count::Processor)
        .start()
        .await?;
    let ended = tokio::select! {
        total = simulate(options, &config, &mut running, &mut screen) => total.map(Some),
        asked = goka_examples::asked_to_end() => asked.map(|()| None).map_err(Into::into),
    };
    // Commits the clicks that were counted, even after an error.
    let closed = running.shutdown().await;
    let total = ended?;
    closed?;
    match (options.clicks, total) {
        (None, _) => Ok(()),
        (Some(clicks), None) => bail!("the programs ended before {clicks} clicks were counted"),
        (Some(clicks), Some(total)) => {
            screen.print(&format!("total {total}"))?;
            if total != clicks {
                bail!("the table holds {total} clicks, but {clicks} were emitted");
            }
            Ok(())
        }
    }
}

/// Waits until all partitions run, and emits clicks. Returns the sum of the table when the sum reaches `--clicks`.
async fn simulate(
    options: &Options,
    config: &Config,
    running: &mut Running,
    screen: &mut Screen,
) -> Result<u64> {
    wait_for_partitions(running, screen).await?;
    let view = View::<Clicks>::open(config).await?;
    recovered(&view, screen).await?;
    let before = Table::read(&view)?.total;
    if options.clicks.is_some() && before > 0 {
        bail!(
            "the table already holds {before} clicks, so its sum cannot equal the clicks emitted now; use another broker, or set GOKA_PREFIX"
        );
    }
    let emitter = Emitter::<UserClicks>::new(config)?;
    let (acknowledged, _) = watch::channel(0);
    let (may_emit, allowed) = watch::channel(AHEAD_MAX);
    let emit_all = async {
        emit(options, &emitter, allowed, &acknowledged).await?;
        pending().await
    };
    tokio::select! {
        failed = emit_all => failed,
        ended = running.wait() => ended_by_itself(ended),
        total = show(options.clicks, &view, screen, |seen| {
            // This fails only if the emitter has ended.
            let _all_emitted = may_emit.send(seen.saturating_sub(before) + AHEAD_MAX);
        }) => total,
    }
}

/// Returns the error of a processor that ended although nobody stopped it.
fn ended_by_itself<T>(ended: goka::Result) -> Result<T> {
    ended?;
    bail!("the processor ended without being asked to stop")
}

async fn wait_for_partitions(running: &mut Running, screen: &mut Screen) -> Result<()> {
    let mut ticks = interval(LOOK);
    let mut drawn = Instant::now();
    while !all_run(running) {
        tokio::select! {
            ended = running.wait() => return ended_by_itself(ended),
            _ = ticks.tick() => {
                if drawn.elapsed() >= REFRESH {
                    screen.draw(vec![progress(running)])?;
                    drawn = Instant::now();
                }
            }
        }
    }
    Ok(())
}

/// Shows the table until it holds `clicks` clicks, and passes each sum to `seen`. Reads the table more often than it
/// draws it, because the emitter waits for the sum.
async fn show(
    clicks: Option<u64>,
    view: &View<Clicks>,
    screen: &mut Screen,
    seen: impl Fn(u64),
) -> Result<u64> {
    let mut speed = Speed::new();
    let mut drawn: Option<Instant> = None;
    let mut last = (0, Instant::now());
    loop {
        let table = Table::read(view)?;
        seen(table.total);
        let complete = clicks.is_some_and(|clicks| table.total >= clicks);
        if complete || drawn.is_none_or(|drawn| drawn.elapsed() >= REFRESH) {
            screen.draw(table.lines(speed.at(table.total)))?;
            drawn = Some(Instant::now());
        }
        if complete {
            // Reads the table once more after a pause: if a click is counted twice, the second count comes after the
            // last click.
            sleep(REFRESH).await;
            return Ok(Table::read(view)?.total);
        }
        if table.total != last.0 {
            last = (table.total, Instant::now());
        }
        if let Some(clicks) = clicks
            && last.1.elapsed() > STALLED
        {
            bail!(
                "{} of {clicks} clicks were counted, but none in the last {STALLED:?}",
                table.total
            );
        }
        sleep(LOOK.max(table.read_in)).await;
    }
}
