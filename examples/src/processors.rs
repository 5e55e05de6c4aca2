//! Runs the processors of an example, and prints how many partitions run in this process, so that a user sees
//! partitions move.

use std::{pin::pin, time::Duration};

use anyhow::Result;
use goka::{
    App, Running,
    app::{GroupStats, PartitionState},
};
use tokio::time::interval;

use crate::asked_to_end;

/// Interval between two checks whether the states of the partitions have changed and must be printed.
const LOOK: Duration = Duration::from_millis(250);

/// Runs the processors of `app` until Ctrl-C, or until one fails.
///
/// # Errors
/// If the processors cannot start, or if one fails.
pub async fn run(app: App) -> Result<()> {
    let mut running = app.start().await?;
    let mut asked = pin!(asked_to_end());
    let mut ticks = interval(LOOK);
    let mut said = String::new();
    loop {
        tokio::select! {
            ended = running.wait() => return Ok(ended?),
            asked = &mut asked => {
                asked?;
                return Ok(running.shutdown().await?);
            }
            _ = ticks.tick() => {
                let line = line(&running);
                if line != said {
                    println!("{line}");
                    said = line;
                }
            }
        }
    }
}

/// One line that says how many partitions of each group run in this process.
fn line(running: &Running) -> String {
    let here = |group: &GroupStats| {
        let states = group.partitions.values();
        let up = states
            .filter(|state| **state == PartitionState::Running)
            .count();
        format!(
            "{}: {up} of {} partitions run here",
            group.group, group.partitions_total
        )
    };
    let groups: Vec<_> = running.stats().groups.iter().map(here).collect();
    groups.join("; ")
}
