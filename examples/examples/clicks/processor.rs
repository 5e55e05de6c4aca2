//! The processor: counts, and tells what its partitions do.

use std::pin::pin;

use anyhow::Result;
use goka::{App, Config, GroupStats, PartitionState, Running};
use tokio::time::interval;

use crate::{count, screen::Screen, view::REFRESH};

/// Counts until Ctrl-C, then commits what it has and leaves the group.
pub(crate) async fn run(config: Config) -> Result<()> {
    let mut asked_to_end = pin!(goka_examples::asked_to_end());
    let mut running = App::new(config).processor(count::Processor).start().await?;
    let mut screen = Screen::new();
    let mut ticks = interval(REFRESH);
    let mut shown = String::new();
    loop {
        tokio::select! {
            ended = running.wait() => return Ok(ended?),
            asked = &mut asked_to_end => {
                asked?;
                return Ok(running.shutdown().await?);
            }
            _ = ticks.tick() => {
                let now = progress(&running);
                if now != shown {
                    screen.draw(std::slice::from_ref(&now))?;
                    shown = now;
                }
            }
        }
    }
}

/// One line: how many partitions run here, how far those are that recover, and what was counted.
pub(crate) fn progress(running: &Running) -> String {
    let stats = running.stats();
    let mut line = String::new();
    for group in &stats.groups {
        let (up, all) = (up(group), group.partitions_total);
        line += &format!(
            "{}: {up} of {all} partitions run here, {} clicks counted",
            group.group, group.handled
        );
        for state in group.partitions.values() {
            if let PartitionState::Recovering { rows, progress, .. } = state {
                line += &format!("; recovering {:.0} %, {rows} rows", progress * 100.0);
            }
        }
    }
    line
}

/// Whether no partition of the group is missing or recovering: this process is all of it.
pub(crate) fn all_run(running: &Running) -> bool {
    let stats = running.stats();
    stats
        .groups
        .iter()
        .all(|group| up(group) == usize::try_from(group.partitions_total).unwrap_or(0))
}

fn up(group: &GroupStats) -> usize {
    let states = group.partitions.values();
    states
        .filter(|state| **state == PartitionState::Running)
        .count()
}
