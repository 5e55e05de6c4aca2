//! Measures reads by key, in random order and on one thread: from a view, in a snapshot, and with plain heed from the
//! same files. Plain heed is the limit for the two others.

use std::{path::Path, time::Instant};

use anyhow::Context;
use goka::View;
use goka_tests::stored;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{
    What,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    rows,
    settings::Settings,
    table::Counts,
};

/// How rows are read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) enum Way {
    #[default]
    View,
    Snapshot,
    Heed,
}

pub(crate) fn run(place: &Place, settings: &Settings) -> anyhow::Result<Vec<Report>> {
    rows::fill(place, settings)?;
    let read = |(way, what)| {
        let measured = place.measure(What::Get { way }, settings, &place.prefix())?;
        let verified = measured.more["sum"] == measured.more["sum_expected"];
        Ok(Report::new(what, settings, measured, verified))
    };
    let ways = [
        (Way::Heed, "get with plain heed (upper limit)"),
        (Way::View, "get"),
        (Way::Snapshot, "get in a snapshot"),
    ];
    ways.into_iter().map(read).collect()
}

pub(crate) async fn measure(
    way: Way,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let state = tempfile::tempdir()?;
    let config = rows::config(settings, prefix)?.state_dir(state.path());
    let view = View::<Counts>::open(&config).await?;
    view.recovered().await?;

    // The keys lie side by side in memory, as if each key had just arrived with a request, so that this measures the
    // table, and not cache misses of the keys.
    let mut chance = StdRng::seed_from_u64(42);
    let choices = (0..settings.messages).map(|_| chance.random_range(0..settings.users));
    let choices: Vec<u64> = choices.collect();
    let keys: Vec<String> = choices.iter().map(|choice| rows::key(*choice)).collect();
    let (sum, meter, begun, ended) = match way {
        Way::View => {
            let (meter, begun) = (Meter::start(), Instant::now());
            let mut sum = 0;
            for key in &keys {
                sum += view.get(key)?.unwrap_or(-1);
            }
            (sum, meter, begun, Instant::now())
        }
        Way::Snapshot => {
            let (meter, begun) = (Meter::start(), Instant::now());
            let (snapshot, mut sum) = (view.snapshot()?, 0);
            for key in &keys {
                sum += snapshot.get(key)?.unwrap_or(-1);
            }
            (sum, meter, begun, Instant::now())
        }
        Way::Heed => {
            view.clone().close().await?;
            drop(view);
            return heed(state.path(), &keys, choices.iter().sum());
        }
    };
    let measured = meter.stop(settings.messages, begun, ended);
    view.close().await?;
    let expected: u64 = choices.iter().sum();
    Ok(measured.with("sum", sum).with("sum_expected", expected))
}

/// Reads from the files of a local copy with heed, in one read transaction per file. Which file holds which key is
/// determined before the measurement.
fn heed(state: &Path, keys: &[String], expected: u64) -> anyhow::Result<Measured> {
    let mut copies = Vec::new();
    for path in stored::find(state)? {
        copies.extend(stored::open(&path)?);
    }
    let txns: Vec<_> = copies
        .iter()
        .map(|copy| Ok((copy.env.read_txn()?, &copy.rows)))
        .collect::<anyhow::Result<_>>()?;
    let mut placed = Vec::new();
    for key in keys {
        let key = [&[0], key.as_bytes()].concat();
        let mut copy = None;
        for (place, (txn, rows)) in txns.iter().enumerate() {
            if rows.get(txn, &key)?.is_some() {
                copy = Some(place);
            }
        }
        placed.push((copy.context("no local copy has a row for the key")?, key));
    }
    let (meter, begun) = (Meter::start(), Instant::now());
    let mut sum = 0;
    for (copy, key) in &placed {
        let (txn, rows) = &txns[*copy];
        let value = rows
            .get(txn, key)?
            .context("the row of the key is missing in the local copy")?;
        sum += std::str::from_utf8(value)?.parse::<i64>()?;
    }
    let measured = meter.stop(keys.len() as u64, begun, Instant::now());
    Ok(measured.with("sum", sum).with("sum_expected", expected))
}
