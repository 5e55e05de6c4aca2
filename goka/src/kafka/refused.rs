//! What librdkafka says of settings that it does not take, without their values: those may be secrets.

use rdkafka::error::KafkaError;

use crate::base::{config::may_be_shown, error::Error};

/// Why a setting was not taken.
pub(super) fn setting(key: &str, value: &str, error: KafkaError) -> Error {
    let reason = match error {
        KafkaError::ClientConfig(_, reason, ..) => reason,
        // It has all bytes of the value in it.
        KafkaError::Nul(_) => "there is a null byte in it".to_owned(),
        error => error.to_string(),
    };
    // Some reasons repeat the value.
    let reason = match may_be_shown(key) || value.is_empty() || !reason.contains(value) {
        true => reason,
        false => "its value is not one that it can have".to_owned(),
    };
    Error::Config(format!(
        "librdkafka does not take the setting `{key}`: {reason}"
    ))
}

/// Why a client was not opened.
pub(super) fn client(client: &str, error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, _, ref key, ref value) => {
            let (key, value) = (key.clone(), value.clone());
            setting(&key, &value, error)
        }
        KafkaError::Nul(_) => {
            let why = "there is a null byte in a setting: take it out";
            Error::kafka(format!("open the {client}"), why)
        }
        error => Error::kafka(format!("open the {client}"), error),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{ClientConfig, producer::BaseProducer};

    use super::*;
    use crate::{
        base::config::Config,
        kafka::{cluster::Connection, settings},
    };

    /// All that is to be seen of an error.
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
            // The second is how bytes are shown that are no text.
            assert!(!seen.contains("hush"), "{seen}");
            assert!(!seen.contains("104, 117"), "{seen}");
            assert!(Connection::new(&Config::new().set(key, value)).is_err());
        }
    }

    #[test]
    fn a_client_that_is_not_opened_says_why_without_values() {
        for (key, value) in [("sasl.pasword", "hush"), ("sasl.password", "hu\0sh")] {
            let mut settings = ClientConfig::new();
            let opened = settings.set(key, value).create::<BaseProducer>();
            let error = client("emitter", opened.err().expect("it is refused"));
            let seen = seen(&error);
            assert!(
                !seen.contains("hush") && !seen.contains("104, 117"),
                "{seen}"
            );
        }
    }

    #[test]
    fn a_harmless_value_is_shown() {
        let error = settings::check(&Config::new().set("compression.type", "zip")).unwrap_err();
        assert!(error.to_string().contains("zip"), "{error}");
    }
}
