//! Which partition a key belongs to. Part of a topic's type: a group and all it joins must agree.

/// How the partition of a key is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioner {
    /// As the JVM clients and Kafka Streams: 32-bit murmur2 of the key, without its sign bit,
    /// modulo the number of partitions.
    #[default]
    Murmur2,
    /// As Go Goka: 32-bit FNV-1a of the key.
    Fnv1a,
}
