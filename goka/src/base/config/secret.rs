//! Which settings of librdkafka may be shown in errors, logs and `Debug`: only those whose values are known to be
//! harmless. A misspelt key, or a key of a later librdkafka, may hold a password. Must not know where settings are
//! shown.

/// Shown instead of a value that may be secret.
const HIDDEN: &str = "<secret>";

/// Endings of keys whose values are times, sizes, counts and switches.
const HARMLESS_ENDS: &[&str] = &[
    ".ms",
    ".bytes",
    ".kbytes",
    ".messages",
    ".size",
    ".max",
    ".retries",
    ".enable",
    ".eof",
    ".idempotence",
    ".commit",
    ".store",
    ".create.topics",
    ".error",
    ".crcs",
];

/// Other keys that are harmless.
const HARMLESS: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "debug",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queuing.strategy",
    "request.required.acks",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.method",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "transactional.id",
];

/// A key whose name contains one of these parts holds, or may hold, a secret.
const SECRET: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "private",
    "pem",
    "jaas",
    "token",
    "credential",
    "oauthbearer.config",
];

/// Whether the value of a key of librdkafka may be shown.
pub(crate) fn may_be_shown(key: &str) -> bool {
    let harmless = HARMLESS.contains(&key) || HARMLESS_ENDS.iter().any(|end| key.ends_with(end));
    harmless && !SECRET.iter().any(|part| key.contains(part))
}

/// The value of a key of librdkafka, or a placeholder if it may be secret.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if may_be_shown(key) { value } else { HIDDEN }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Config;

    #[test]
    fn what_is_not_known_to_be_harmless_is_not_shown() {
        for key in [
            "sasl.password",
            "sasl.pasword",
            "Sasl.Password",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.key.pem",
            "ssl.certificate.pem",
            "ssl.keystore.passphrase",
            "sasl.jaas.config",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "some.token.max",
            "credential.ms",
            "",
        ] {
            let config = Config::new().set(key, "hush");
            let config = config.set_producer(key, "hush").set_consumer(key, "hush");
            let shown = format!("{config:?} {config:#?}");
            assert!(!shown.contains("hush"), "{shown}");
            assert_eq!(shown.matches("<secret>").count(), 6, "{shown}");
        }
    }

    #[test]
    fn what_helps_to_find_a_mistake_is_shown() {
        let config = Config::new()
            .set("sasl.username", "me")
            .set("security.protocol", "sasl_ssl")
            .set_consumer("session.timeout.ms", "9000")
            .set_producer("queue.buffering.max.kbytes", "7");
        let shown = format!("{config:?}");
        for part in ["me", "sasl_ssl", "9000", "7"] {
            assert!(shown.contains(&format!(": \"{part}\"")), "{shown}");
        }
    }
}
