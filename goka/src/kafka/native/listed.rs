//! Partitions with offsets, as librdkafka lists them: what a group has committed, and what it refused. Must not know
//! groups.
//!
//! rdkafka's `metadata()` panics if the metadata beside an offset is not UTF-8. Any client of a group may commit
//! metadata of any bytes, so that goka reads metadata only here.
//!
//! goka commits metadata with a terminating zero byte. Some clients, such as confluent-kafka-python, read the metadata
//! up to a zero byte, although librdkafka does not terminate its copies of the metadata. Without the zero byte, these
//! clients read on into other memory, and fail there at the first byte that is not UTF-8.

use std::borrow::Cow;

use rdkafka::{TopicPartitionList, bindings::*, error::RDKafkaErrorCode};

use super::raw::{bytes, elements, text};

/// The byte with which goka ends the metadata of an offset.
const END: &[u8] = b"\0";

/// The metadata to commit beside an offset, as the brokers store it.
pub(crate) fn terminated(metadata: &str) -> String {
    format!("{metadata}\0")
}

/// A partition in a list of librdkafka.
pub(crate) struct Listed<'l> {
    /// Physical name of the topic.
    pub(crate) topic: &'l str,
    pub(crate) partition: i32,
    /// `None`: no offset is committed.
    pub(crate) offset: Option<i64>,
    /// The metadata beside the offset, without a terminating zero byte. Bytes that are not UTF-8 are replaced by
    /// U+FFFD.
    pub(crate) metadata: Cow<'l, str>,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// The partitions of a list.
pub(crate) fn listed(list: &TopicPartitionList) -> impl Iterator<Item = Listed<'_>> {
    // SAFETY: the list is borrowed, and lends its elements.
    unsafe { listed_at(list.ptr()) }
}

/// # Safety
/// `list` is null, or points to a list that lives as long as `'l`.
pub(super) unsafe fn listed_at<'l>(
    list: *const rd_kafka_topic_partition_list_t,
) -> impl Iterator<Item = Listed<'l>> {
    // SAFETY: by the caller.
    let elements = unsafe { elements(list) };
    elements.iter().map(|element| {
        // SAFETY: a list owns the topics and the metadata of its elements.
        let (topic, metadata) = unsafe {
            let metadata = bytes(element.metadata, element.metadata_size);
            (text(element.topic), metadata.unwrap_or_default())
        };
        let metadata = metadata.strip_suffix(END).unwrap_or(metadata);
        Listed {
            topic,
            partition: element.partition,
            offset: (element.offset >= 0).then_some(element.offset),
            metadata: String::from_utf8_lossy(metadata),
            error: (element.err != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                .then(|| element.err.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_committed_with_a_zero_byte_and_read_without_it() {
        let mut list = TopicPartitionList::new();
        for (partition, metadata) in [terminated("goka one"), "kcat".to_owned()]
            .into_iter()
            .enumerate()
        {
            let partition = i32::try_from(partition).unwrap();
            list.add_partition("clicks", partition);
            let mut element = list.find_partition("clicks", partition).unwrap();
            element.set_metadata(metadata);
        }
        assert_eq!(list.elements()[0].metadata(), "goka one\0");
        let read: Vec<_> = listed(&list).map(|listed| listed.metadata).collect();
        assert_eq!(read, ["goka one", "kcat"]);
    }
}
