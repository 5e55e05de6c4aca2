//! How the processors of an example are run: it is said where they are, so that one knows what to do next.

use std::pin::pin;

use anyhow::Result;
use goka::{App, GroupStats, PartitionState, Running};

use crate::asked_to_end;

/// Runs the processors of `app` until Ctrl-C, or until one fails.
///
/// # Errors
/// If they cannot start, or one fails.
pub async fn run(app: App) -> Result<()> {
    let mut running = app.start().await?;
    println!("started");
    let mut asked = pin!(asked_to_end());
    let recovered = tokio::select! {
        recovered = running.recovered() => recovered,
        asked = &mut asked => {
            asked?;
            return Ok(running.shutdown().await?);
        }
    };
    // If not, the reason is told below.
    if recovered.is_ok() {
        println!("{}", line(&running));
    }
    tokio::select! {
        ended = running.wait() => Ok(ended?),
        asked = &mut asked => {
            asked?;
            Ok(running.shutdown().await?)
        }
    }
}

/// Which partitions run here.
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
