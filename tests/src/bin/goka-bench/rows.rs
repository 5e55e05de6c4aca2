//! A table that was filled by a plain client, for those who only read it: the user `user-7` has clicked 7 times.

use goka_tests::Message;

use crate::{place::Place, settings::Settings};

/// The topic of the table. It is used by all runs that want as many rows.
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

/// With names of the run for all but the table.
pub(crate) fn config(settings: &Settings, prefix: &str) -> anyhow::Result<goka::Config> {
    anyhow::ensure!(
        settings.value_bytes.is_none(),
        "`--value-bytes` is for `raw` and `throughput`"
    );
    let config = settings.config(prefix)?;
    Ok(config.topic("counts-state", topic(settings)))
}
