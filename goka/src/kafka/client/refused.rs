//! Errors about settings that librdkafka rejects. They do not show values that may be secrets.

use rdkafka::{error::KafkaError, types::RDKafkaConfRes};

use crate::base::{config::may_be_shown, error::Error};

/// The error about a setting that librdkafka rejects.
pub(crate) fn setting(key: &str, value: &str, error: KafkaError) -> Error {
    let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    let is_known = !matches!(&error, KafkaError::ClientConfig(why, ..) if *why == unknown);
    let reason = match error {
        KafkaError::ClientConfig(_, reason, ..) => reason,
        // This error's text would contain all bytes of the value.
        KafkaError::Nul(_) => "the value contains a null byte".to_owned(),
        error => error.to_string(),
    };
    // Some reasons contain the value.
    let reason = match may_be_shown(key) || value.is_empty() || !reason.contains(value) {
        true => reason,
        false => "the value is not allowed".to_owned(),
    };
    // The value is shown because librdkafka's reason names only the number that librdkafka has read, which differs
    // from the value after an overflow. The value of an unknown key is not shown: the key may be the misspelled key of
    // a secret.
    let shown = match is_known && may_be_shown(key) && !value.contains('\0') {
        true => format!(" of `{value}`"),
        false => String::new(),
    };
    Error::Config(format!(
        "librdkafka rejects the setting `{key}`{shown}: {reason}"
    ))
}

/// The error about a client that cannot be opened.
pub(crate) fn client(client: &str, error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, _, ref key, ref value) => {
            let (key, value) = (key.clone(), value.clone());
            setting(&key, &value, error)
        }
        KafkaError::Nul(_) => {
            let why = "a setting contains a null byte: remove the null byte";
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
            let error = client(
                "emitter",
                opened.err().expect("the client refuses the setting"),
            );
            let source = std::error::Error::source(&error);
            let seen = format!("{error} {error:?} {source:?}");
            assert!(
                !seen.contains("hush") && !seen.contains("104, 117"),
                "{seen}"
            );
        }
    }
}
