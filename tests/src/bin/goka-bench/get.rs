//! Reads of a table by key, by one thread, in any order: one after the other, in a snapshot, and for comparison by
//! plain heed from the same file, the limit.

use std::{fs, path::Path, time::Instant};

use anyhow::Context;
use goka::View;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithoutTls, types::Bytes};
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
        (Way::Heed, "get by plain heed, the limit"),
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

    // Each key lies where the one before it ends, as if a request had just brought it: what is measured is the table,
    // not the search for keys in memory.
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

/// Reads from the files of a copy, each with one read transaction and told before which file has the key.
fn heed(state: &Path, keys: &[String], expected: u64) -> anyhow::Result<Measured> {
    let mut copies = Vec::new();
    find(state, &mut copies)?;
    let txns: Vec<_> = copies
        .iter()
        .map(|(env, rows)| Ok((env.read_txn()?, rows)))
        .collect::<anyhow::Result<_>>()?;
    let mut stored = Vec::new();
    for key in keys {
        let key = [&[0], key.as_bytes()].concat();
        let mut copy = None;
        for (place, (txn, rows)) in txns.iter().enumerate() {
            if rows.get(txn, &key)?.is_some() {
                copy = Some(place);
            }
        }
        stored.push((copy.context("no copy has a row")?, key));
    }
    let (meter, begun) = (Meter::start(), Instant::now());
    let mut sum = 0;
    for (copy, key) in &stored {
        let (txn, rows) = &txns[*copy];
        let value = rows.get(txn, key)?.context("a row is gone")?;
        sum += std::str::from_utf8(value)?.parse::<i64>()?;
    }
    let measured = meter.stop(keys.len() as u64, begun, Instant::now());
    Ok(measured.with("sum", sum).with("sum_expected", expected))
}

type Copy = (Env<WithoutTls>, Database<'static, Bytes, Bytes>);

fn find(folder: &Path, found: &mut Vec<Copy>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
        } else if path.ends_with("data.mdb") {
            found.push(open(folder)?);
        }
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Copy> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(1 << 30).max_dbs(2);
    // SAFETY: a file that is only read needs no sync.
    unsafe { options.flags(EnvFlags::READ_ONLY) };
    // SAFETY: the view that wrote the file is closed, and this process opens it once.
    let env = unsafe { options.open(path) }?;
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let rows = opener.open_database::<Bytes, Bytes>(txn, Some("rows"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
    })?;
    let rows = opened.commit().flatten().context("it has no rows")?;
    Ok((env, rows))
}
