//! Plain rdkafka clients with the settings that goka uses, for comparison with goka.

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
};

use crate::settings::Settings;

/// A consumer with the same settings as goka's consumers. librdkafka requires a group id, `group`.
pub(crate) fn consumer(
    settings: &Settings,
    group: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.wait.max.ms", "100");
    for (key, value) in more {
        config.set(*key, *value);
    }
    Ok(config.create()?)
}

/// Makes the consumer read these partitions of a topic, from their starts.
pub(crate) fn read(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> anyhow::Result<()> {
    let mut assigned = TopicPartitionList::new();
    for partition in partitions {
        assigned.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    Ok(consumer.assign(&assigned)?)
}

/// A producer with the same settings as goka's producers, except for `linger.ms` and the context that receives delivery
/// reports.
pub(crate) fn producer<C, P>(settings: &Settings, linger_ms: &str, context: C) -> anyhow::Result<P>
where
    C: ClientContext,
    P: FromClientConfigAndContext<C>,
{
    let producer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms)
        .create_with_context(context)?;
    Ok(producer)
}
