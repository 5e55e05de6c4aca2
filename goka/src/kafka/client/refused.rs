//! What librdkafka says of settings that it does not take, without their values: those may be secrets.

use rdkafka::error::KafkaError;

use crate::base::{config::may_be_shown, error::Error};

/// Why a setting was not taken.
pub(crate) fn setting(key: &str, value: &str, error: KafkaError) -> Error {
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
pub(crate) fn client(client: &str, error: KafkaError) -> Error {
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

    #[test]
    fn a_client_that_is_not_opened_says_why_without_values() {
        for (key, value) in [("sasl.pasword", "hush"), ("sasl.password", "hu\0sh")] {
            let mut settings = ClientConfig::new();
            let opened = settings.set(key, value).create::<BaseProducer>();
            let error = client("emitter", opened.err().expect("it is refused"));
            let source = std::error::Error::source(&error);
            let seen = format!("{error} {error:?} {source:?}");
            assert!(
                !seen.contains("hush") && !seen.contains("104, 117"),
                "{seen}"
            );
        }
    }
}
