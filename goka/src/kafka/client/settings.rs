//! librdkafka's settings for each kind of client: goka's defaults, the user's settings, and the settings that the
//! engine depends on.
//!
//! A setting that librdkafka does not know, or that would break a guarantee of the engine, is rejected, and the error
//! says why. Must not know topics.

use std::time::Duration;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use super::refused;
use crate::base::{
    config::{Config, Guarantee},
    error::Error,
};

/// The purpose of a client, which decides its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The consumer of a worker.
    Member,
    /// A consumer of one topic that joins no group.
    Reader,
    /// The producer of a worker.
    Worker,
    /// The producer of an emitter.
    Emitter,
    /// A client for requests about topics and groups.
    Admin,
}

/// Settings whose values goka decides: the key, the values that a user may nevertheless set, and the reason why any
/// other value is rejected.
const OWN: &[(&str, &[&str], &str)] = &[
    (
        "bootstrap.servers",
        &[],
        "set the addresses of brokers with `Config::brokers` or GOKA_BROKERS",
    ),
    (
        "group.id",
        &[],
        "the group is named in the attribute of the processor",
    ),
    (
        "group.instance.id",
        &[],
        "set the id of an instance with `Config::instance_id`, and static or dynamic membership with \
         `Config::membership`",
    ),
    (
        "transactional.id",
        &[],
        "goka chooses transactional ids, so that the successor of a worker can fence the worker",
    ),
    (
        "enable.auto.commit",
        &["false"],
        "goka commits an offset when the effects of all records before it are acknowledged",
    ),
    (
        "enable.auto.offset.store",
        &["false"],
        "goka commits an offset when the effects of all records before it are acknowledged",
    ),
    (
        "auto.offset.reset",
        &["error"],
        "an offset that is out of range must not be skipped silently (`Config::out_of_range`); set where a new group \
         starts with `Config::start`",
    ),
    (
        "isolation.level",
        &["read_committed"],
        "records of aborted transactions must not be handled",
    ),
    (
        "enable.partition.eof",
        &[],
        "goka sets this key for its readers, which need to know the end of a changelog",
    ),
    (
        "partition.assignment.strategy",
        &["cooperative-sticky"],
        "goka assigns the partitions of all inputs of a group together, which needs this strategy",
    ),
    (
        "acks",
        &["all", "-1"],
        "a record that only one broker has is lost if that broker fails",
    ),
    (
        "enable.idempotence",
        &["true"],
        "without idempotence, a retry can duplicate records and change their order",
    ),
    (
        "allow.auto.create.topics",
        &["false"],
        "a misspelled topic would be created, with the wrong number of partitions; create a topic with \
         `Config::create_stream`",
    ),
    (
        "delivery.report.only.error",
        &["false"],
        "a commit waits for the delivery report of every record",
    ),
    (
        "queuing.strategy",
        &["fifo"],
        "records of one key must stay in order",
    ),
    (
        "test.mock.num.brokers",
        &[],
        "start an embedded broker with `brokers = \"embedded\"`",
    ),
    ("log.queue", &["true"], "librdkafka's log goes to `tracing`"),
];

/// Aliases of librdkafka's settings, each with the name that this file uses for the setting.
const ALIASES: &[(&str, &str)] = &[
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("request.required.acks", "acks"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
];

/// Rejects settings that librdkafka does not know or that conflict with goka's own, before any client connects.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let keys = &config.keys;
    let all = [&keys.both, &keys.consumer, &keys.producer];
    for (key, value) in all.into_iter().flatten() {
        check_known(key, value)?;
        let own = OWN.iter().find(|(name, ..)| *name == canonical(key));
        if let Some((_, accepted, why)) = own
            && !accepted.contains(&value.as_str())
        {
            return Err(Error::Config(format!(
                "`{key}` cannot be set to `{value}`: {why}"
            )));
        }
    }
    check_transactions(config)?;
    let session_allows = message_timeout(config)? / PARTS_OF_TIMEOUT;
    let (allowed, why) = match config.guarantee {
        Guarantee::AtLeastOnce => (
            session_allows,
            "goka must deliver a record, or stop trying, before another member can own its partition, so the timeout \
             is at most half of (`session.timeout.ms` - `heartbeat.interval.ms` - 1 s)",
        ),
        Guarantee::ExactlyOnce => (
            transaction_timeout(config)?,
            "goka must deliver a record, or stop trying, before its transaction times out, so the timeout is at most \
             `transaction.timeout.ms`",
        ),
    };
    let timeouts = [&keys.both, &keys.producer].into_iter().flatten();
    for (key, value) in timeouts.filter(|(key, _)| canonical(key) == "message.timeout.ms") {
        let asked = value.parse().map_or(Duration::MAX, Duration::from_millis);
        // For librdkafka, 0 means no timeout.
        if asked.is_zero() || asked > allowed {
            let allowed = allowed.as_millis();
            return Err(Error::Config(format!(
                "`{key}` cannot be set to `{value}`: {why}, which is {allowed} ms; lower `{key}`, or raise both timeouts"
            )));
        }
    }
    Ok(())
}

/// Settings that shorten the closing of a member: a closing member waits for the answer to its last commit, even if
/// the brokers cannot be reached. An answer that comes later than this timeout is useless.
const CLOSES_SOON: &[(&str, &str)] = &[("socket.timeout.ms", "6000")];

/// goka's default of `transaction.timeout.ms`: longer than any commit takes. Brokers allow values up to
/// `transaction.max.timeout.ms`, by default 15 minutes.
const TRANSACTION_TIMEOUT_MS: u64 = 15_000;

/// How long a transaction may be open before the broker aborts it. The timeout matters only if a process dies and
/// nobody takes over its partitions: a new owner of the partitions aborts the process's transactions immediately.
pub(crate) fn transaction_timeout(config: &Config) -> Result<Duration, Error> {
    let keys = [&config.keys.producer, &config.keys.both];
    let key = "transaction.timeout.ms";
    let set = keys.into_iter().find_map(|keys| keys.get(key));
    set.map_or(Ok(TRANSACTION_TIMEOUT_MS), |value| whole_number(key, value))
        .map(Duration::from_millis)
}

fn check_transactions(config: &Config) -> Result<(), Error> {
    let timeout = transaction_timeout(config)?;
    let least = (config.commit_interval * 4).max(Duration::from_secs(5));
    if config.guarantee == Guarantee::ExactlyOnce && timeout < least {
        return Err(Error::Config(format!(
            "`transaction.timeout.ms` is {}: a transaction is open for a commit interval ({} ms) and then committed, \
             so the timeout must be at least {} ms",
            timeout.as_millis(),
            config.commit_interval.as_millis(),
            least.as_millis()
        )));
    }
    Ok(())
}

fn canonical(key: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == key);
    alias.map_or(key, |(_, name)| name)
}

fn check_known(key: &str, value: &str) -> Result<(), Error> {
    let asked = ClientConfig::new().set(key, value).create_native_config();
    asked
        .map(drop)
        .map_err(|error| refused::setting(key, value, error))
}

/// How long a group keeps a member that sends no heartbeats. A static member that has left is kept for the same time.
pub(crate) fn session_timeout(config: &Config) -> Result<Duration, Error> {
    session_timeout_ms(config).map(Duration::from_millis)
}

fn session_timeout_ms(config: &Config) -> Result<u64, Error> {
    milliseconds(config, "session.timeout.ms", 6000)
}

/// How long a worker may try to deliver a record. A worker that tried for longer than its session lasts could write a
/// record after rows that the partition's next owner has already written.
pub(crate) fn message_timeout(config: &Config) -> Result<Duration, Error> {
    let session = session_timeout_ms(config)?;
    let heartbeat = milliseconds(config, "heartbeat.interval.ms", 300)?;
    let left = session.saturating_sub(heartbeat + 1000);
    if left < 1000 {
        return Err(Error::Config(format!(
            "`session.timeout.ms` is {session} and `heartbeat.interval.ms` is {heartbeat}: the session timeout must be \
             at least 2 s longer than the heartbeat interval, so that records can be delivered within a session"
        )));
    }
    Ok(Duration::from_millis(left))
}

/// The number of parts into which the message timeout is divided. librdkafka gets one part; the rest is for the time
/// that a record waits before it is handed to librdkafka.
const PARTS_OF_TIMEOUT: u32 = 2;

/// How long a record may wait before it is handed to librdkafka.
pub(crate) fn wait_max(config: &Config, role: Role) -> Result<Duration, Error> {
    let timeout = of(config, role)?
        .get("message.timeout.ms")
        .and_then(|ms| ms.parse().ok());
    match (role, timeout.map(Duration::from_millis)) {
        (Role::Worker, Some(timeout)) if config.guarantee == Guarantee::AtLeastOnce => {
            Ok(message_timeout(config)?.saturating_sub(timeout))
        }
        // 300 s is librdkafka's default of `message.timeout.ms`.
        (_, timeout) => Ok(timeout.unwrap_or(Duration::from_secs(300))),
    }
}

/// Largest size of a record, in bytes.
pub(crate) fn message_bytes_max(config: &Config, role: Role) -> Result<usize, Error> {
    Ok(number(&of(config, role)?, "message.max.bytes", 1_000_000))
}

/// The number of records, and of bytes, that a producer's queue may hold.
pub(crate) struct QueueMax {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

pub(crate) fn queue_max(config: &Config, role: Role) -> Result<QueueMax, Error> {
    let settings = of(config, role)?;
    let records = number(&settings, "queue.buffering.max.messages", 100_000);
    let kbytes: usize = number(&settings, "queue.buffering.max.kbytes", 1_048_576);
    // For librdkafka, 0 means no limit.
    let records = if records == 0 { usize::MAX } else { records };
    Ok(QueueMax {
        records,
        bytes: kbytes.saturating_mul(1024),
    })
}

/// The value of a numeric setting, which librdkafka has already validated. If the setting is not set, `default`, which
/// must be librdkafka's default.
fn number(settings: &ClientConfig, key: &str, default: usize) -> usize {
    settings
        .get(key)
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn milliseconds(config: &Config, key: &str, default: u64) -> Result<u64, Error> {
    let keys = &config.keys;
    match keys.consumer.get(key).or_else(|| keys.both.get(key)) {
        None => Ok(default),
        Some(value) => whole_number(key, value),
    }
}

fn whole_number(key: &str, value: &str) -> Result<u64, Error> {
    value
        .parse()
        .map_err(|_| Error::Config(format!("`{key}` is `{value}`, but must be a whole number")))
}

/// The settings of a client, without the addresses of the brokers.
pub(crate) fn of(config: &Config, role: Role) -> Result<ClientConfig, Error> {
    let mut settings = ClientConfig::new();
    // This level is only a first filter: `tracing` filters the log further.
    settings.set_log_level(RDKafkaLogLevel::Info);
    let mut set = |keys: &[(&str, &str)]| {
        for (key, value) in keys {
            settings.set(*key, *value);
        }
    };
    set(&[
        ("client.id", "goka"),
        ("allow.auto.create.topics", "false"),
        // Reconnect soon after a short outage.
        ("reconnect.backoff.max.ms", "1000"),
    ]);
    match role {
        Role::Member | Role::Reader => set(&[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            // With librdkafka's default, a consumer stalls for a second after its queue was full.
            ("fetch.queue.backoff.ms", "2"),
            // In librdkafka's queue, a small record takes ten times its size. This limit on the number of records
            // saves 60 MB, and reading remains as fast.
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.wait.max.ms", "100"),
        ]),
        Role::Worker | Role::Emitter => set(&[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("compression.type", "lz4"),
            // Short, because `produce/lanes.rs` gathers batches while earlier records are in flight.
            ("linger.ms", "1"),
            ("queue.buffering.max.kbytes", "32768"),
        ]),
        Role::Admin => {}
    }
    if role == Role::Worker {
        // When this client is asked for end offsets, they must include records of open transactions.
        set(&[("isolation.level", "read_uncommitted")]);
    }
    match role {
        Role::Member if protocol(config) == "consumer" => set(CLOSES_SOON),
        Role::Member => set(&[
            CLOSES_SOON[0],
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "6000"),
            // A member learns of a rebalance from the answer to a heartbeat, and a cooperative rebalance has two
            // rounds. So the heartbeat interval decides how long the records of a partition that moves are not
            // handled.
            ("heartbeat.interval.ms", "300"),
        ]),
        // Without a group id, librdkafka does not let a consumer assign partitions to itself. A reader never joins
        // this group and commits nothing.
        Role::Reader => set(&[
            ("group.id", "goka-reader-in-no-group"),
            ("enable.partition.eof", "true"),
        ]),
        Role::Worker if config.guarantee == Guarantee::ExactlyOnce => {
            let timeout = transaction_timeout(config)?.as_millis().to_string();
            set(&[
                ("transaction.timeout.ms", &timeout),
                ("message.timeout.ms", &timeout),
            ]);
        }
        Role::Worker => {
            let timeout = message_timeout(config)? / PARTS_OF_TIMEOUT;
            let timeout = timeout.as_millis().to_string();
            set(&[("message.timeout.ms", &timeout)]);
        }
        Role::Emitter | Role::Admin => {}
    }
    let keys = match role {
        Role::Member | Role::Reader => &config.keys.consumer,
        Role::Worker | Role::Emitter | Role::Admin => &config.keys.producer,
    };
    for (key, value) in config.keys.both.iter().chain(keys) {
        if role == Role::Worker && key == "isolation.level" {
            continue;
        }
        settings.set(canonical(key), value);
    }
    if settings.get("debug").is_some() {
        settings.set_log_level(RDKafkaLogLevel::Debug);
    }
    if role == Role::Reader {
        // This setting is meant for group members. librdkafka rejects it for a reader.
        settings.remove("group.protocol");
    }
    Ok(settings)
}

/// The rebalance protocol of members: `classic` or `consumer`.
fn protocol(config: &Config) -> &str {
    let keys = &config.keys;
    let key = "group.protocol";
    let set = keys.consumer.get(key).or_else(|| keys.both.get(key));
    set.map_or("classic", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: Config) -> String {
        check(&config).unwrap_err().to_string()
    }

    #[test]
    fn every_own_key_is_known_to_librdkafka() {
        for (key, accepted, _) in OWN {
            check_known(key, accepted.first().unwrap_or(&"1")).unwrap();
            for value in *accepted {
                check(&Config::new().set(*key, *value)).unwrap();
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let said = refused(Config::new().set("session.timeout", "1"));
        assert!(said.contains("`session.timeout`"), "{said}");
        let said = refused(Config::new().set_producer("linger.ms", "soon"));
        assert!(said.contains("`linger.ms`"), "{said}");
    }

    #[test]
    fn conflicts_are_refused_with_the_reason() {
        for (key, value, why) in [
            ("enable.auto.commit", "true", "effects"),
            ("group.id", "mine", "processor"),
            ("group.instance.id", "mine", "Config::instance_id"),
            ("transactional.id", "mine", "successor"),
            ("isolation.level", "read_uncommitted", "aborted"),
            ("partition.assignment.strategy", "range", "together"),
            ("acks", "1", "lost"),
            ("enable.idempotence", "false", "duplicate"),
            ("auto.offset.reset", "latest", "Config::start"),
            ("bootstrap.servers", "x:1", "Config::brokers"),
        ] {
            let said = refused(Config::new().set(key, value));
            assert!(said.contains(key) && said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_record_is_given_up_before_its_partition_may_move() {
        let said = refused(Config::new().set_producer("message.timeout.ms", "2351"));
        assert!(said.contains("2350 ms"), "{said}");
        let said = refused(Config::new().set("delivery.timeout.ms", "0"));
        assert!(said.contains("2350 ms"), "{said}");
        check(&Config::new().set("message.timeout.ms", "2350")).unwrap();
        let longer = Config::new()
            .set("session.timeout.ms", "45000")
            .set("message.timeout.ms", "21000");
        check(&longer).unwrap();
        assert_eq!(
            of(&longer.set("linger.ms", "1"), Role::Worker)
                .unwrap()
                .get("message.timeout.ms"),
            Some("21000")
        );
        let said = refused(Config::new().set("session.timeout.ms", "2200"));
        assert!(said.contains("2 s longer"), "{said}");
    }

    /// goka calculates with the values of these keys of librdkafka. No value causes a panic, and an error names the
    /// key and the value that are refused.
    #[test]
    fn numbers_out_of_range_are_refused_with_name_and_value() {
        for key in [
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "message.timeout.ms",
            "transaction.timeout.ms",
            "message.max.bytes",
            "queue.buffering.max.messages",
            "queue.buffering.max.kbytes",
        ] {
            let (int, long) = (i64::from(i32::MAX), u64::MAX);
            for value in [0, 1, int - 1, int, int + 1]
                .map(|n| n.to_string())
                .into_iter()
                .chain([(long - 1).to_string(), long.to_string(), "-1".to_owned()])
            {
                for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
                    let config = Config::new().guarantee(guarantee).set(key, &value);
                    match check(&config) {
                        Err(error) => {
                            let said = error.to_string();
                            assert!(said.contains(key) && said.contains(&value), "{said}");
                        }
                        Ok(()) => {
                            for role in [Role::Member, Role::Reader, Role::Worker, Role::Emitter] {
                                wait_max(&config, role).unwrap();
                                message_bytes_max(&config, role).unwrap();
                                queue_max(&config, role).unwrap();
                            }
                            session_timeout(&config).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_transaction_outlives_its_records_and_its_interval() {
        let exactly = || Config::new().guarantee(Guarantee::ExactlyOnce);
        check(&exactly().set_producer("message.timeout.ms", "15000")).unwrap();
        let said = refused(exactly().set_producer("message.timeout.ms", "15001"));
        assert!(said.contains("15000 ms"), "{said}");
        let said = refused(exactly().set_producer("transaction.timeout.ms", "4000"));
        assert!(said.contains("5000 ms"), "{said}");
        let longer = exactly()
            .set("transaction.timeout.ms", "60000")
            .set("message.timeout.ms", "60000");
        check(&longer).unwrap();
        let worker = of(&exactly(), Role::Worker).unwrap();
        assert_eq!(worker.get("transaction.timeout.ms"), Some("15000"));
        assert_eq!(worker.get("message.timeout.ms"), Some("15000"));
    }

    #[test]
    fn the_users_keys_win_over_defaults_and_those_of_a_role_over_both() {
        let config = Config::new()
            .set("linger.ms", "1")
            .set_producer("linger.ms", "2")
            .set_consumer("fetch.wait.max.ms", "7");
        let producer = of(&config, Role::Emitter).unwrap();
        assert_eq!(producer.get("linger.ms"), Some("2"));
        assert_eq!(producer.get("message.timeout.ms"), None);
        let consumer = of(&config, Role::Member).unwrap();
        assert_eq!(consumer.get("fetch.wait.max.ms"), Some("7"));
    }
}
