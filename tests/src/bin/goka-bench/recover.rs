//! Measures how long it takes until a table can be read: without a local copy, with a local copy, and with a local copy
//! that a killed process left behind.

use std::{io::Write as _, path::PathBuf, time::Instant};

use goka::{App, View, config::Start};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::{
    What,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    rows,
    settings::Settings,
    table::{Counts, count},
};

/// Who reads the table, in which state directory, and whether the reader is killed afterwards.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Copy {
    by: Keeper,
    state: PathBuf,
    /// Whether the process kills itself with SIGKILL while its local copy is open.
    pub(crate) is_killed: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
enum Keeper {
    #[default]
    View,
    Processor,
}

pub(crate) fn run(place: &Place, settings: &Settings) -> anyhow::Result<Vec<Report>> {
    rows::fill(place, settings)?;
    let mut reports = Vec::new();
    for by in [Keeper::View, Keeper::Processor] {
        let state = tempfile::tempdir()?;
        let prefix = place.prefix();
        place.create(&format!("{prefix}clicks"), settings.partitions)?;
        let runs = match by {
            Keeper::View => [
                ("recover view", false),
                ("restart view", true),
                ("restart view after a kill", false),
            ],
            Keeper::Processor => [
                ("recover processor", false),
                ("restart processor", true),
                ("restart processor after a kill", false),
            ],
        };
        for (what, is_killed) in runs {
            let copy = Copy {
                by,
                state: state.path().to_owned(),
                is_killed,
            };
            let measured = place.measure(What::Recover { copy }, settings, &prefix)?;
            let verified = measured.more["wrong_rows"] == 0;
            reports.push(Report::new(what, settings, measured, verified));
        }
        place.delete(&format!("{prefix}clicks"));
    }
    Ok(reports)
}

/// Measures the time from the start of the view or processor until the whole table can be read.
pub(crate) async fn measure(
    copy: &Copy,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let config = rows::config(settings, prefix)?.state_dir(&copy.state);
    let (meter, begun) = (Meter::start(), Instant::now());
    // The expected value of a row is the number of its user: `user-7` has clicked 7 times.
    let right = |user| Some(i64::try_from(user).unwrap_or(-1));
    match copy.by {
        Keeper::View => {
            let view = View::<Counts>::open(&config).await?;
            view.recovered().await?;
            let measured = meter.stop(settings.users, begun, Instant::now());
            let mut wrong = view.snapshot()?.len()?.abs_diff(settings.users);
            for user in 0..settings.users {
                wrong += u64::from(view.get(&rows::key(user))? != right(user));
            }
            let measured = measured.with("wrong_rows", wrong);
            killed(copy, &measured)?;
            view.close().await?;
            Ok(measured)
        }
        Keeper::Processor => {
            let app = App::new(config.start(Start::Earliest)).processor(count::Processor);
            let running = app.start().await?;
            running.recovered().await?;
            // When `recovered` returns for the first time, this process may run only some of the partitions, and so
            // have only a part of the table.
            let partitions = usize::try_from(settings.partitions)?;
            while running.stats().groups[0].partitions.len() < partitions {
                tokio::task::yield_now().await;
            }
            running.recovered().await?;
            let measured = meter.stop(settings.users, begun, Instant::now());
            let processor = running.processor::<count::Processor>()?;
            let mut wrong = 0_u64;
            for user in 0..settings.users {
                wrong += u64::from(processor.get::<Counts>(&rows::key(user))? != right(user));
            }
            let measured = measured.with("wrong_rows", wrong);
            killed(copy, &measured)?;
            running.shutdown().await?;
            Ok(measured)
        }
    }
}

/// If `copy.is_killed` is set, prints the measurement and kills this process with SIGKILL.
fn killed(copy: &Copy, measured: &Measured) -> anyhow::Result<()> {
    if copy.is_killed {
        println!("{}", serde_json::to_string(measured)?);
        std::io::stdout().flush()?;
        kill_process(getpid(), Signal::KILL)?;
    }
    Ok(())
}
