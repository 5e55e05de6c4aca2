//! Reads settings from environment variables, `GOKA_...`. Must not know what a setting means.

use std::{env, str::FromStr, time::Duration};

use super::{Config, Guarantee, Membership, OutOfRange, Standby, Start};
use crate::base::error::Error;

impl Config {
    /// Reads settings from environment variables. A setting whose variable is not set keeps its default.
    ///
    /// | variable | setting | values |
    /// |---|---|---|
    /// | `GOKA_BROKERS` | [`brokers`](Self::brokers) | addresses, or `embedded` |
    /// | `GOKA_STATE_DIR` | [`state_dir`](Self::state_dir) | a path |
    /// | `GOKA_PREFIX` | [`prefix`](Self::prefix) | text |
    /// | `GOKA_WORKERS` | [`workers`](Self::workers) | a number |
    /// | `GOKA_GUARANTEE` | [`guarantee`](Self::guarantee) | `at_least_once`, `exactly_once` |
    /// | `GOKA_COMMIT_INTERVAL_MS` | [`commit_interval`](Self::commit_interval) | milliseconds |
    /// | `GOKA_INSTANCE_ID` | [`instance_id`](Self::instance_id) | text |
    /// | `GOKA_MEMBERSHIP` | [`membership`](Self::membership) | `static`, `dynamic` |
    /// | `GOKA_START` | [`start`](Self::start) | `earliest`, `latest`, `reset` |
    /// | `GOKA_OUT_OF_RANGE` | [`out_of_range`](Self::out_of_range) | `fail`, `earliest`, `latest` |
    /// | `GOKA_STANDBY` | [`standby`](Self::standby) | `none`, `all` |
    /// | `GOKA_RECOVER_AHEAD` | [`recover_ahead`](Self::recover_ahead) | `true`, `false` |
    /// | `GOKA_CLEANUP_DELAY_MS` | [`cleanup_delay`](Self::cleanup_delay) | milliseconds |
    /// | `GOKA_MAP_BYTES` | [`map_size`](Self::map_size) | bytes |
    /// | `GOKA_SNAPSHOT_MAX_MS` | [`snapshot_max`](Self::snapshot_max) | milliseconds |
    /// | `GOKA_KAFKA__...` | [`set`](Self::set) | the value of a key of librdkafka |
    /// | `GOKA_KAFKA_CONSUMER__...` | [`set_consumer`](Self::set_consumer) | the value of the key, for consumers only |
    /// | `GOKA_KAFKA_PRODUCER__...` | [`set_producer`](Self::set_producer) | the value of the key, for producers only |
    ///
    /// Keys of librdkafka are written in upper case, with `_` for `.`: `GOKA_KAFKA__SESSION_TIMEOUT_MS` sets
    /// `session.timeout.ms`.
    ///
    /// # Errors
    /// [`Error::Config`] if a value is malformed, or if a variable begins with `GOKA_` and is not in this table.
    pub fn from_env() -> Result<Self, Error> {
        let variables = env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with("GOKA_").then_some((name, value))
        });
        let mut config = Config::new();
        for (name, value) in variables {
            let value = value.into_string().map_err(|_| {
                Error::Config(format!("the environment variable {name} is not UTF-8"))
            })?;
            config = config.variable(&name, &value)?;
        }
        Ok(config)
    }

    fn variable(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let key = |rest: &str| rest.to_lowercase().replace('_', ".");
        self = match name {
            "GOKA_BROKERS" => self.brokers(value),
            "GOKA_STATE_DIR" => self.state_dir(value),
            "GOKA_PREFIX" => self.prefix(value),
            "GOKA_WORKERS" => self.workers(number(name, value)?),
            "GOKA_GUARANTEE" => match value {
                "at_least_once" => self.guarantee(Guarantee::AtLeastOnce),
                "exactly_once" => self.guarantee(Guarantee::ExactlyOnce),
                _ => return Err(choice(name, value, "`at_least_once` or `exactly_once`")),
            },
            "GOKA_COMMIT_INTERVAL_MS" => {
                self.commit_interval(Duration::from_millis(number(name, value)?))
            }
            "GOKA_INSTANCE_ID" => self.instance_id(value),
            "GOKA_MEMBERSHIP" => match value {
                "static" => self.membership(Membership::Static),
                "dynamic" => self.membership(Membership::Dynamic),
                _ => return Err(choice(name, value, "`static` or `dynamic`")),
            },
            "GOKA_START" => match value {
                "earliest" => self.start(Start::Earliest),
                "latest" => self.start(Start::Latest),
                "reset" => self.start(Start::Reset),
                _ => return Err(choice(name, value, "`earliest`, `latest` or `reset`")),
            },
            "GOKA_OUT_OF_RANGE" => match value {
                "fail" => self.out_of_range(OutOfRange::Fail),
                "earliest" => self.out_of_range(OutOfRange::Earliest),
                "latest" => self.out_of_range(OutOfRange::Latest),
                _ => return Err(choice(name, value, "`fail`, `earliest` or `latest`")),
            },
            "GOKA_STANDBY" => match value {
                "none" => self.standby(Standby::None),
                "all" => self.standby(Standby::All),
                _ => return Err(choice(name, value, "`none` or `all`")),
            },
            "GOKA_RECOVER_AHEAD" => match value {
                "true" => self.recover_ahead(true),
                "false" => self.recover_ahead(false),
                _ => return Err(choice(name, value, "`true` or `false`")),
            },
            "GOKA_CLEANUP_DELAY_MS" => {
                self.cleanup_delay(Duration::from_millis(number(name, value)?))
            }
            "GOKA_MAP_BYTES" => self.map_size(number(name, value)?),
            "GOKA_SNAPSHOT_MAX_MS" => {
                self.snapshot_max(Duration::from_millis(number(name, value)?))
            }
            // These variables are for the tests of this library.
            "GOKA_FAULT" | "GOKA_CRASH_AT" if cfg!(feature = "faults") => self,
            _ if name.starts_with("GOKA_TEST_") => self,
            _ => {
                if let Some(rest) = name.strip_prefix("GOKA_KAFKA__") {
                    self.set(key(rest), value)
                } else if let Some(rest) = name.strip_prefix("GOKA_KAFKA_CONSUMER__") {
                    self.set_consumer(key(rest), value)
                } else if let Some(rest) = name.strip_prefix("GOKA_KAFKA_PRODUCER__") {
                    self.set_producer(key(rest), value)
                } else {
                    let meant = nearest(name).map(|known| format!(": did you mean {known}?"));
                    let meant = meant.unwrap_or_else(|| ".".to_owned());
                    return Err(Error::Config(format!(
                        "unknown environment variable {name}{meant} To set a key of librdkafka such as \
                         session.timeout.ms, use GOKA_KAFKA__SESSION_TIMEOUT_MS"
                    )));
                }
            }
        };
        Ok(self)
    }
}

/// All variables except those that set keys of librdkafka.
const KNOWN: [&str; 15] = [
    "GOKA_BROKERS",
    "GOKA_STATE_DIR",
    "GOKA_PREFIX",
    "GOKA_WORKERS",
    "GOKA_GUARANTEE",
    "GOKA_COMMIT_INTERVAL_MS",
    "GOKA_INSTANCE_ID",
    "GOKA_MEMBERSHIP",
    "GOKA_START",
    "GOKA_OUT_OF_RANGE",
    "GOKA_STANDBY",
    "GOKA_RECOVER_AHEAD",
    "GOKA_CLEANUP_DELAY_MS",
    "GOKA_MAP_BYTES",
    "GOKA_SNAPSHOT_MAX_MS",
];

/// Maximum number of wrong or missing letters in a misspelt name for which the error suggests the right name. A missing
/// unit (`_MS`) is three letters.
const WRONG_MAX: usize = 3;

fn nearest(name: &str) -> Option<&'static str> {
    let distances = KNOWN.iter().map(|known| (distance(name, known), *known));
    let (wrong, known) = distances.min()?;
    (wrong <= WRONG_MAX).then_some(known)
}

/// The number of letters that have to be changed, added or removed to get from one name to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, Error> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wanted = match is_number {
        true => "a smaller number",
        false => "a whole number, without a sign",
    };
    value.parse().map_err(|_| choice(name, value, wanted))
}

fn choice(name: &str, value: &str, wanted: &str) -> Error {
    Error::Config(format!(
        "the environment variable {name} is `{value}`, but must be {wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_settings() {
        let config = Config::new()
            .variable("GOKA_KAFKA__SESSION_TIMEOUT_MS", "9000")
            .and_then(|c| c.variable("GOKA_KAFKA_CONSUMER__FETCH_MIN_BYTES", "2"))
            .and_then(|c| c.variable("GOKA_KAFKA_PRODUCER__LINGER_MS", "7"))
            .and_then(|c| c.variable("GOKA_COMMIT_INTERVAL_MS", "250"))
            .and_then(|c| c.variable("GOKA_GUARANTEE", "exactly_once"))
            .and_then(|c| c.variable("GOKA_MEMBERSHIP", "dynamic"))
            .and_then(|c| c.variable("GOKA_START", "reset"))
            .and_then(|c| c.variable("GOKA_OUT_OF_RANGE", "latest"))
            .and_then(|c| c.variable("GOKA_STANDBY", "all"))
            .and_then(|c| c.variable("GOKA_RECOVER_AHEAD", "true"))
            .and_then(|c| c.variable("GOKA_CLEANUP_DELAY_MS", "60000"))
            .and_then(|c| c.variable("GOKA_MAP_BYTES", "1073741824"))
            .and_then(|c| c.variable("GOKA_SNAPSHOT_MAX_MS", "5000"))
            .unwrap();
        assert_eq!(config.keys.both["session.timeout.ms"], "9000");
        assert_eq!(config.keys.consumer["fetch.min.bytes"], "2");
        assert_eq!(config.keys.producer["linger.ms"], "7");
        assert_eq!(config.commit_interval, Duration::from_millis(250));
        assert_eq!(config.guarantee, Guarantee::ExactlyOnce);
        assert_eq!(config.membership, Membership::Dynamic);
        assert_eq!(config.start, Some(Start::Reset));
        assert_eq!(config.out_of_range, OutOfRange::Latest);
        assert_eq!(config.standby, Standby::All);
        assert!(config.recover_ahead);
        assert_eq!(config.map_size, 1 << 30);
        assert_eq!(config.snapshot_max, Duration::from_secs(5));
        assert_eq!(config.cleanup_delay, Duration::from_secs(60));
    }

    #[test]
    fn variables_that_mean_nothing_are_refused() {
        for (name, value) in [
            ("GOKA_BROKER", "x"),
            ("GOKA_WORKERS", "many"),
            ("GOKA_MAP_BYTES", "64G"),
            ("GOKA_START", "now"),
            ("GOKA_OUT_OF_RANGE", "now"),
            ("GOKA_STANDBY", "1"),
            ("GOKA_RECOVER_AHEAD", "yes"),
            ("GOKA_GUARANTEE", "exactly-once"),
            ("GOKA_MEMBERSHIP", "cooperative"),
        ] {
            let error = Config::new().variable(name, value).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn numbers_of_variables_are_held_against_their_range() {
        for (name, least, most) in [
            ("GOKA_WORKERS", 1, 10_000),
            ("GOKA_COMMIT_INTERVAL_MS", 1, 2000),
            ("GOKA_CLEANUP_DELAY_MS", 1, 31_536_000_000),
            ("GOKA_MAP_BYTES", 1 << 20, 1 << 46),
            ("GOKA_SNAPSHOT_MAX_MS", 1, 31_536_000_000),
        ] {
            for n in [0, 1, least, most, most + 1, u64::MAX - 1, u64::MAX] {
                let config = Config::new().variable(name, &n.to_string()).unwrap();
                let checked = config.check().map_err(|error| error.to_string());
                assert_eq!(checked.is_ok(), (least..=most).contains(&n), "{name}={n}");
                let said = checked.err().unwrap_or_default();
                assert!(
                    said.is_empty() || said.contains(name) && said.contains(&n.to_string()),
                    "{said}"
                );
            }
            for value in ["-1", "", "1e3", "18446744073709551616"] {
                let error = Config::new().variable(name, value).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains(value), "{error}");
            }
        }
    }

    #[test]
    fn a_variable_that_is_nearly_right_is_named() {
        let said = |name| Config::new().variable(name, "x").unwrap_err().to_string();
        for (name, meant) in [
            ("GOKA_BROKER", "GOKA_BROKERS"),
            ("GOKA_STATEDIR", "GOKA_STATE_DIR"),
            ("GOKA_COMMIT_INTERVAL", "GOKA_COMMIT_INTERVAL_MS"),
            ("GOKA_WORKRES", "GOKA_WORKERS"),
        ] {
            let said = said(name);
            assert!(said.contains(&format!("did you mean {meant}?")), "{said}");
        }
        assert!(!said("GOKA_COLOUR").contains("did you mean"));
        // `KNOWN` lists the variables that are read: none of them is unknown, even if the value is refused.
        for known in KNOWN {
            let read = Config::new().variable(known, "x");
            let refused = read
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(!refused.contains("unknown"), "{refused}");
        }
    }
}
