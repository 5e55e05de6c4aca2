//! A table for measurements that only read it. A plain client fills it in advance: user `user-7` has clicked 7 times.

use goka_tests::Message;

use crate::{place::Place, settings::Settings};

/// The name of the table's changelog. Runs with the same numbers of rows and partitions share it.
pub(crate) fn topic(settings: &Settings) -> String {
    let Settings {
        users, partitions, ..
    } = settings;
    format!("goka-bench-rows-{users}-{partitions}")
}

pub(crate) fn fill(place: &Place, settings: &Settings) -> anyhow::Result<()> {
    let rows = (0..settings.users).map(|user| Message::new(key(user), user.to_string()));
    place.fill(
        &topic(settings),
        settings.partitions,
        settings.users,
        &[("cleanup.policy", "compact")],
        rows,
    )
}

pub(crate) fn key(user: u64) -> String {
    format!("user-{user}")
}

/// A configuration whose names have the prefix of the run, except for the changelog, which runs share.
pub(crate) fn config(settings: &Settings, prefix: &str) -> anyhow::Result<goka::Config> {
    anyhow::ensure!(
        settings.value_bytes.is_none(),
        "`--value-bytes` is for `raw` and `throughput`"
    );
    let config = settings.config(prefix)?;
    Ok(config.topic("counts-state", topic(settings)))
}
