//! The settings and addresses with which every client of an app connects. Must not know topics or groups.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;

use super::{
    log::ClientLog,
    names::Names,
    refused,
    settings::{self, Role},
};
use crate::{
    base::{config::Config, error::Error},
    kafka::embedded::EmbeddedBroker,
};

/// How long a broker may take to answer a request.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long a broker may take to answer a worker. This is short because the worker's running partitions, and a
/// shutdown, wait for the answer, and because the worker repeats a request that was not answered.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// Everything that is needed to open a further client of the same brokers.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) brokers: String,
    /// The embedded broker that clients connect to, if it runs in this process.
    pub(crate) embedded: Option<EmbeddedBroker>,
}

impl Connection {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        settings::check(config)?;
        let brokers = config.brokers.trim();
        let embedded = match brokers {
            "embedded" => Some(EmbeddedBroker::shared()?),
            address => EmbeddedBroker::at(address),
        };
        let address = embedded.as_ref().map_or(brokers, EmbeddedBroker::address);
        Ok(Connection {
            config: config.clone(),
            names: Names::new(config)?,
            brokers: address.to_owned(),
            embedded,
        })
    }

    /// Opens a client. `client` is its name in logs and errors; `change` adds settings to those of the role.
    pub(crate) fn open<T: FromClientConfigAndContext<ClientLog>>(
        &self,
        role: Role,
        client: impl Into<String>,
        change: impl FnOnce(&mut rdkafka::ClientConfig),
    ) -> Result<T, Error> {
        let client = client.into();
        let mut settings = settings::of(&self.config, role)?;
        settings.set("bootstrap.servers", &self.brokers);
        change(&mut settings);
        let opened =
            settings.create_with_context(ClientLog::new(client.clone(), self.embedded.clone()));
        opened.map_err(|error| refused::client(&client, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All texts that an error can show.
    fn seen(error: &Error) -> String {
        let source = std::error::Error::source(error).map(|source| format!("{source} {source:?}"));
        format!("{error} {error:?} {source:?}")
    }

    #[test]
    fn no_refusal_shows_a_value_that_may_be_secret() {
        for (key, value) in [
            ("sasl.pasword", "hush"),
            ("Sasl.Password", "hush"),
            ("sasl.password", "hu\0sh"),
            ("ssl.key.pem", "hu\0sh"),
            ("sasl.password\0", "hush"),
            ("enable.ssl.certificate.verification", "hush"),
            ("ssl.providers.hush.max", "hush"),
        ] {
            let error = settings::check(&Config::new().set(key, value)).unwrap_err();
            let seen = seen(&error).replace(key, "");
            // The second text is the beginning of the value as a list of bytes, the form in which bytes that are not
            // UTF-8 are shown.
            assert!(!seen.contains("hush"), "{seen}");
            assert!(!seen.contains("104, 117"), "{seen}");
            assert!(Connection::new(&Config::new().set(key, value)).is_err());
        }
    }

    #[test]
    fn a_harmless_value_is_shown() {
        let error = settings::check(&Config::new().set("compression.type", "zip")).unwrap_err();
        assert!(error.to_string().contains("zip"), "{error}");
    }
}
