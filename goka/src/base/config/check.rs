//! Checks the settings that can be checked without a broker and without librdkafka. Must not know where the settings
//! came from.

use std::{fmt::Display, time::Duration};

use super::{Config, Standby};
use crate::base::error::Error;

/// Limits of `map_size`, in bytes. The maximum is half of the address space of a process on Linux: 64 TiB on a 64-bit
/// machine.
const MAP_SIZE_MIN: usize = 1 << 20;
const MAP_SIZE_MAX: usize = 1 << if usize::BITS == 64 { 46 } else { 30 };

/// Maximum number of workers: far more threads than any machine has cores.
const WORKERS_MAX: usize = 10_000;

const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(2);

/// Maximum of all other durations: a year. Longer durations overflow when they are added to a time.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// Maximum number of partitions that Kafka creates in one request.
const PARTITIONS_MAX: i32 = 10_000;

/// Maximum length of an instance id, in bytes. Kafka allows 249 bytes, and each worker appends its number.
const INSTANCE_ID_MAX: usize = 239;

/// Whether goka was built with TLS in librdkafka. The features for Kerberos include TLS.
const HAS_TLS: bool = cfg!(any(
    feature = "ssl",
    feature = "ssl-vendored",
    feature = "sasl",
    feature = "gssapi"
));

impl Config {
    /// Checks these settings as far as this is possible without a broker and without librdkafka.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: &str| Err(Error::Config(sentence.to_owned()));
        if self.brokers.trim().is_empty() {
            return refuse("`brokers` is empty: set the address of a broker, or `embedded`");
        }
        self.check_numbers()?;
        if self.recover_ahead && self.standby == Standby::None {
            return refuse(
                "`recover_ahead` needs `standby = all`: an instance does not know which partitions it will be assigned \
                 before it joins the group, so it has to keep copies of all partitions",
            );
        }
        if self
            .state_dir
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            return refuse(
                "`state_dir` (GOKA_STATE_DIR) is empty: name a directory, or leave the setting out to use the default one",
            );
        }
        if let Some(id) = &self.instance_id {
            check_instance_id(id)?;
        }
        self.check_security()?;
        Ok(())
    }

    /// Checks the range of each number: a value outside its range has no meaning, or overflows where it is used.
    fn check_numbers(&self) -> Result<(), Error> {
        let refuse = |what: &str, value: &dyn Display, allowed: &str| {
            Err(Error::Config(format!(
                "{what} is {value}, but must be {allowed}"
            )))
        };
        if let Some(workers) = self.workers
            && !(1..=WORKERS_MAX).contains(&workers)
        {
            let allowed = format!("1 to {WORKERS_MAX}");
            return refuse("`workers` (GOKA_WORKERS)", &workers, &allowed);
        }
        if self.records_per_commit == 0 {
            return refuse("`records_per_commit`", &0, "at least 1");
        }
        if self.map_size < MAP_SIZE_MIN || self.map_size > MAP_SIZE_MAX {
            let allowed = format!(
                "{MAP_SIZE_MIN} to {MAP_SIZE_MAX} bytes: an empty local copy already needs a few pages, and the address space of a process is limited"
            );
            return refuse("`map_size` (GOKA_MAP_BYTES)", &self.map_size, &allowed);
        }
        let durations = [
            (
                "`commit_interval` (GOKA_COMMIT_INTERVAL_MS)",
                self.commit_interval,
                COMMIT_INTERVAL_MAX,
                "a member must commit before its session times out and other members take over its partitions",
            ),
            (
                "`metadata_interval`",
                self.metadata_interval,
                DURATION_MAX,
                "this setting is the time between two checks of the topics, for example 60 s",
            ),
            (
                "`cleanup_delay` (GOKA_CLEANUP_DELAY_MS)",
                self.cleanup_delay,
                DURATION_MAX,
                "with 0, goka would delete local copies while partitions move between instances; to keep local copies for good, set a year",
            ),
            (
                "`snapshot_max` (GOKA_SNAPSHOT_MAX_MS)",
                self.snapshot_max,
                DURATION_MAX,
                "with 0, every snapshot would expire immediately",
            ),
        ];
        for (what, value, longest, why) in durations {
            if value.is_zero() || value > longest {
                let longest = longest.as_millis();
                let allowed = format!("above 0 and at most {longest} ms: {why}");
                let value = format!("{} ms", value.as_millis());
                return refuse(what, &value, &allowed);
            }
        }
        for (name, partitions) in &self.streams {
            if !(1..=PARTITIONS_MAX).contains(partitions) {
                let allowed =
                    format!("1 to {PARTITIONS_MAX}, the most that Kafka creates in one request");
                let what = format!("the number of partitions of `create_stream` for `{name}`");
                return refuse(&what, partitions, &allowed);
            }
        }
        Ok(())
    }

    /// Refuses TLS if goka was built without it, and names the missing feature. librdkafka would only say that it was
    /// compiled without OpenSSL.
    fn check_security(&self) -> Result<(), Error> {
        let keys = [&self.keys.both, &self.keys.consumer, &self.keys.producer];
        let protocol = keys
            .into_iter()
            .find_map(|keys| keys.get("security.protocol"));
        match protocol.map(|protocol| protocol.to_lowercase()) {
            Some(protocol) if !HAS_TLS && ["ssl", "sasl_ssl"].contains(&&*protocol) => {
                Err(Error::Config(format!(
                    "`security.protocol` is `{protocol}`, but goka was built without TLS: enable the feature `ssl` of the \
                     dependency `goka`, or `ssl-vendored` to compile OpenSSL as well"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that Kafka allows this instance id. Kafka itself would check the id only when a worker joins the group, with
/// the worker's number appended.
fn check_instance_id(id: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let problem = if id.is_empty() {
        "is empty: name the instance, or leave the setting out to use an id that goka keeps in the state directory".to_owned()
    } else if id.len() > INSTANCE_ID_MAX {
        format!(
            "has {} bytes, but at most {INSTANCE_ID_MAX} are allowed",
            id.len()
        )
    } else if id == "." || id == ".." || !id.bytes().all(allowed) {
        format!(
            "is `{id}`, but must consist of letters, digits, `.`, `_` and `-`, and must not be `.` or `..`"
        )
    } else {
        return Ok(());
    };
    Err(Error::Config(format!(
        "`instance_id` (GOKA_INSTANCE_ID) {problem}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        for config in [
            Config::new().brokers(" "),
            Config::new().workers(0),
            Config::new().records_per_commit(0),
            Config::new().commit_interval(Duration::ZERO),
            Config::new().metadata_interval(Duration::ZERO),
            Config::new().cleanup_delay(Duration::ZERO),
            Config::new().map_size(MAP_SIZE_MIN - 1),
            Config::new().snapshot_max(Duration::ZERO),
            Config::new().recover_ahead(true),
            Config::new().create_stream("clicks", 0),
            Config::new().state_dir(""),
            Config::new().instance_id(""),
            Config::new().instance_id(".."),
            Config::new().instance_id("pod 7"),
            Config::new().instance_id("x".repeat(240)),
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
        Config::new().check().unwrap();
        let named = Config::new().instance_id("pod-7.zone_a").state_dir("state");
        named.check().unwrap();
    }

    /// The table has all settings that are numbers: how to set each one, its name in errors, and its range.
    #[test]
    fn numbers_out_of_range_are_refused_with_name_value_and_range() {
        type Set = fn(u64) -> Config;
        let year = 365 * 24 * 3_600_000;
        let ms = Duration::from_millis;
        let table: [(Set, &str, u64, u64); 8] = [
            (
                |n| Config::new().workers(n as usize),
                "GOKA_WORKERS",
                1,
                WORKERS_MAX as u64,
            ),
            (
                |n| Config::new().records_per_commit(n as usize),
                "records_per_commit",
                1,
                u64::MAX,
            ),
            (
                |n| Config::new().map_size(n as usize),
                "GOKA_MAP_BYTES",
                MAP_SIZE_MIN as u64,
                MAP_SIZE_MAX as u64,
            ),
            (
                |n| Config::new().commit_interval(Duration::from_millis(n)),
                "GOKA_COMMIT_INTERVAL_MS",
                1,
                2000,
            ),
            (
                |n| Config::new().metadata_interval(Duration::from_millis(n)),
                "metadata_interval",
                1,
                year,
            ),
            (
                |n| Config::new().cleanup_delay(Duration::from_millis(n)),
                "GOKA_CLEANUP_DELAY_MS",
                1,
                year,
            ),
            (
                |n| Config::new().snapshot_max(Duration::from_millis(n)),
                "GOKA_SNAPSHOT_MAX_MS",
                1,
                year,
            ),
            (
                |n| Config::new().create_stream("clicks", n.min(i32::MAX as u64) as i32),
                "create_stream` for `clicks`",
                1,
                PARTITIONS_MAX as u64,
            ),
        ];
        for (set, name, least, most) in table {
            let above = most.saturating_add(1);
            for n in [
                0,
                1,
                least - 1,
                least,
                most - 1,
                most,
                above,
                u64::MAX - 1,
                u64::MAX,
            ] {
                let checked = set(n).check().map_err(|error| error.to_string());
                assert_eq!(checked.is_ok(), (least..=most).contains(&n), "{name} = {n}");
                let Err(said) = checked else { continue };
                let value = if name.contains("create_stream") {
                    n.min(i32::MAX as u64)
                } else {
                    n
                };
                for part in [
                    name,
                    &value.to_string(),
                    &least.max(1).to_string(),
                    "must be",
                ] {
                    let is_duration = part == "1" && said.contains("above 0");
                    assert!(
                        said.contains(part) || is_duration,
                        "the error must contain `{part}`: {said}"
                    );
                }
                assert!(
                    most == u64::MAX || said.contains(&most.to_string()),
                    "{said}"
                );
            }
        }
        for config in [
            Config::new().create_stream("clicks", -1),
            Config::new().metadata_interval(Duration::MAX),
            Config::new().commit_interval(Duration::MAX),
            Config::new().cleanup_delay(Duration::MAX),
            Config::new().snapshot_max(Duration::MAX - ms(1)),
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
    }

    #[test]
    fn tls_needs_a_feature_that_is_named() {
        for protocol in ["ssl", "SASL_SSL"] {
            let config = Config::new().set("security.protocol", protocol);
            let refused = config.check().err().map(|error| error.to_string());
            assert_eq!(refused.is_none(), HAS_TLS);
            assert!(refused.is_none_or(|said| said.contains("feature `ssl`")));
        }
        let plain = Config::new().set("security.protocol", "sasl_plaintext");
        plain.check().unwrap();
    }
}
