//! What is wrong with settings, as far as it can be seen without a broker and without librdkafka. Must not know where
//! they came from.

use std::time::Duration;

use super::{Config, Standby};
use crate::base::error::Error;

/// A copy of nothing has a few pages.
const MAP_SIZE_MIN: usize = 1 << 20;

/// Kafka takes 249, and the number of a worker is added.
const INSTANCE_ID_MAX: usize = 239;

/// Whether librdkafka was compiled with TLS for goka: for logins by Kerberos it always is.
const HAS_TLS: bool = cfg!(any(
    feature = "ssl",
    feature = "ssl-vendored",
    feature = "sasl",
    feature = "gssapi"
));

impl Config {
    /// What can be said about these settings without a broker and without librdkafka.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: &str| Err(Error::Config(sentence.to_owned()));
        if self.brokers.trim().is_empty() {
            return refuse("`brokers` is empty: give the address of a broker, or `embedded`");
        }
        if self.workers == Some(0) {
            return refuse("`workers` is 0: a processor needs at least one");
        }
        if self.records_per_commit == 0 {
            return refuse("`records_per_commit` is 0: at least one record must be committed");
        }
        if self.commit_interval.is_zero() || self.commit_interval > Duration::from_secs(2) {
            return refuse(
                "`commit_interval` must be above 0 and at most 2 s: a member has to commit well \
                 within its session, or others may have taken its partitions unnoticed",
            );
        }
        if self.metadata_interval.is_zero() {
            return refuse("`metadata_interval` is 0: topics would be checked all the time");
        }
        if self.cleanup_delay.is_zero() {
            return refuse("`cleanup_delay` is 0: copies would be deleted while partitions move");
        }
        if self.snapshot_max.is_zero() {
            return refuse("`snapshot_max` is 0: no snapshot could be read");
        }
        if self.map_size < MAP_SIZE_MIN {
            return refuse(
                "`map_size` is below 1 MiB (1048576 bytes): a local copy would be full at once",
            );
        }
        if self.recover_ahead && self.standby == Standby::None {
            return refuse(
                "`recover_ahead` needs `standby = all`: which partitions this instance will be given is not known before \
                 it joins the group, so all have to be kept",
            );
        }
        if self
            .state_dir
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            return refuse(
                "`state_dir` (GOKA_STATE_DIR) is empty: name a directory, or leave the setting out for the default one",
            );
        }
        if let Some(id) = &self.instance_id {
            check_instance_id(id)?;
        }
        self.check_security()?;
        if let Some((name, partitions)) = self.streams.iter().find(|(_, count)| *count < 1) {
            return Err(Error::Config(format!(
                "`create_stream` of `{name}` asks for {partitions} partitions; at least 1 is needed"
            )));
        }
        Ok(())
    }

    /// librdkafka says only that it was compiled without OpenSSL.
    fn check_security(&self) -> Result<(), Error> {
        let keys = [&self.keys.both, &self.keys.consumer, &self.keys.producer];
        let protocol = keys
            .into_iter()
            .find_map(|keys| keys.get("security.protocol"));
        match protocol.map(|protocol| protocol.to_lowercase()) {
            Some(protocol) if !HAS_TLS && ["ssl", "sasl_ssl"].contains(&&*protocol) => {
                Err(Error::Config(format!(
                    "`security.protocol` is `{protocol}`, but goka was built without TLS: give the dependency `goka` the feature \
                     `ssl`, or `ssl-vendored` to compile OpenSSL along"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// What Kafka takes; it is asked of the id with a worker's number behind it when that joins, which is late.
fn check_instance_id(id: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let problem = if id.is_empty() {
        "is empty: name the instance, or leave the setting out for an id that is kept in the state directory".to_owned()
    } else if id.len() > INSTANCE_ID_MAX {
        format!(
            "has {} bytes: at most {INSTANCE_ID_MAX} are allowed",
            id.len()
        )
    } else if id == "." || id == ".." || !id.bytes().all(allowed) {
        format!(
            "is `{id}`: Kafka allows letters, digits, `.`, `_` and `-`, and neither `.` nor `..` alone"
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
