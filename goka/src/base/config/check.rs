//! Checks settings, as far as that needs neither a broker nor librdkafka. Must not know where the settings came from.

use std::time::Duration;

use super::{Config, Standby};
use crate::base::error::Error;

/// Minimum of `map_size`: an empty local copy already has a few pages.
const MAP_SIZE_MIN: usize = 1 << 20;

/// Kafka allows 249 bytes, and each worker appends its number.
const INSTANCE_ID_MAX: usize = 239;

/// Whether goka was built with TLS in librdkafka. The features for Kerberos include it.
const HAS_TLS: bool = cfg!(any(
    feature = "ssl",
    feature = "ssl-vendored",
    feature = "sasl",
    feature = "gssapi"
));

impl Config {
    /// Checks these settings, as far as that needs neither a broker nor librdkafka.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: &str| Err(Error::Config(sentence.to_owned()));
        if self.brokers.trim().is_empty() {
            return refuse("`brokers` is empty: set the address of a broker, or `embedded`");
        }
        if self.workers == Some(0) {
            return refuse("`workers` is 0: a processor needs at least one worker");
        }
        if self.records_per_commit == 0 {
            return refuse("`records_per_commit` is 0: set at least 1");
        }
        if self.commit_interval.is_zero() || self.commit_interval > Duration::from_secs(2) {
            return refuse(
                "`commit_interval` must be above 0 and at most 2 s: a member has to commit well within its session, or \
                 other members may have taken over its partitions",
            );
        }
        if self.metadata_interval.is_zero() {
            return refuse(
                "`metadata_interval` is 0: set the time between two checks of the topics, for example 60 s",
            );
        }
        if self.cleanup_delay.is_zero() {
            return refuse(
                "`cleanup_delay` is 0: local copies would be deleted while partitions move",
            );
        }
        if self.snapshot_max.is_zero() {
            return refuse("`snapshot_max` is 0: every snapshot would expire at once");
        }
        if self.map_size < MAP_SIZE_MIN {
            return refuse(
                "`map_size` is below 1 MiB (1048576 bytes), which is too small for any local copy",
            );
        }
        if self.recover_ahead && self.standby == Standby::None {
            return refuse(
                "`recover_ahead` needs `standby = all`: an instance does not know which partitions it will be assigned \
                 before it joins the group, so it has to keep all of them",
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
        if let Some((name, partitions)) = self.streams.iter().find(|(_, count)| *count < 1) {
            return Err(Error::Config(format!(
                "`create_stream` of `{name}` asks for {partitions} partitions, but a topic has at least 1"
            )));
        }
        Ok(())
    }

    /// Names the feature that is missing. librdkafka would only say that it was compiled without OpenSSL.
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

/// Checks what Kafka allows in an id. Kafka itself would check it only when a worker joins, with the worker's number
/// appended.
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
            "is `{id}`, but Kafka allows only letters, digits, `.`, `_` and `-`, and neither `.` nor `..` alone"
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
