//! The processor: counts clicks and shows the states of its partitions.

use std::pin::pin;

use anyhow::Result;
use goka::{
    App, Config, Running,
    app::{GroupStats, PartitionState},
};
use tokio::time::interval;

use crate::{count, screen::Screen, view::REFRESH};

/// Counts until Ctrl-C, then commits and leaves the group.
pub(crate) async fn run(config: Config) -> Result<()> {
    let mut asked_to_end = pin!(goka_examples::asked_to_end());
    let mut running = App::new(config).processor(count::Processor).start().await?;
    let mut screen = Screen::new();
    let mut ticks = interval(REFRESH);
    loop {
        tokio::select! {
            ended = running.wait() => return Ok(ended?),
            asked = &mut asked_to_end => {
                asked?;
                return Ok(running.shutdown().await?);
            }
            _ = ticks.tick() => screen.draw(vec![progress(&running)])?,
        }
    }
}

/// Returns one line per group: which partitions run on which worker, how many clicks were counted, and the progress of
/// the partitions that are recovering.
pub(crate) fn progress(running: &Running) -> String {
    let stats = running.stats();
    let groups = stats.groups.iter().map(|group| {
        let (name, all, counted) = (group.group, group.partitions_total, group.handled);
        let here = up(group);
        let of_worker = |partitions: &Vec<i32>| {
            let up = partitions
                .iter()
                .filter(|partition| here.contains(partition));
            up.map(i32::to_string).collect::<Vec<_>>().join(" ")
        };
        let workers: Vec<_> = group.workers.iter().map(of_worker).collect();
        let line = format!(
            "{name}: {} of {all} partitions run here ({}), {counted} clicks counted",
            here.len(),
            workers.join(" | ")
        );
        let recovering = group.partitions.values().filter_map(|state| match state {
            PartitionState::Recovering { rows, progress, .. } => Some((*rows, *progress)),
            _ => None,
        });
        let (rows, behind): (Vec<u64>, Vec<f64>) = recovering.unzip();
        if rows.is_empty() {
            return line;
        }
        let percent = behind.iter().sum::<f64>() / behind.len() as f64 * 100.0;
        let rows_read = rows.iter().sum::<u64>();
        format!(
            "{line}; {} recovering: {percent:.0} %, {rows_read} rows",
            rows.len()
        )
    });
    groups.collect::<Vec<_>>().join("\n")
}

/// Whether all partitions of each group run in this process.
pub(crate) fn all_run(running: &Running) -> bool {
    let stats = running.stats();
    stats
        .groups
        .iter()
        .all(|group| up(group).len() == usize::try_from(group.partitions_total).unwrap_or(0))
}

fn up(group: &GroupStats) -> Vec<i32> {
    let states = group.partitions.iter();
    let up = states.filter(|(_, state)| **state == PartitionState::Running);
    up.map(|(partition, _)| *partition).collect()
}
