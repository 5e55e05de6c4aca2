//! Reads of a table by key, by one thread, in any order: one after the other, and in a snapshot.

use std::time::Instant;

use goka::View;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    What,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    rows,
    settings::Settings,
    table::Counts,
};

pub(crate) fn run(place: &Place, settings: &Settings) -> anyhow::Result<Vec<Report>> {
    rows::fill(place, settings)?;
    let read = |in_snapshot| {
        let measured = place.measure(What::Get { in_snapshot }, settings, &place.prefix())?;
        let verified = measured.more["sum"] == measured.more["sum_expected"];
        let what = if in_snapshot {
            "get in a snapshot"
        } else {
            "get"
        };
        Ok(Report::new(what, settings, measured, verified))
    };
    [false, true].into_iter().map(read).collect()
}

pub(crate) async fn measure(
    in_snapshot: bool,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let state = tempfile::tempdir()?;
    let config = rows::config(settings, prefix)?.state_dir(state.path());
    let view = View::<Counts>::open(&config).await?;
    view.recovered().await?;

    let keys: Vec<String> = (0..settings.users).map(rows::key).collect();
    let mut chance = StdRng::seed_from_u64(42);
    let choices: Vec<usize> = (0..settings.messages)
        .map(|_| chance.random_range(0..keys.len()))
        .collect();
    let (meter, begun) = (Meter::start(), Instant::now());
    let mut sum = 0;
    if in_snapshot {
        let snapshot = view.snapshot()?;
        for choice in &choices {
            sum += snapshot.get(&keys[*choice])?.unwrap_or(-1);
        }
    } else {
        for choice in &choices {
            sum += view.get(&keys[*choice])?.unwrap_or(-1);
        }
    }
    let measured = meter.stop(settings.messages, begun, Instant::now());
    view.close().await?;
    let expected: usize = choices.iter().sum();
    Ok(measured.with("sum", sum).with("sum_expected", expected))
}
