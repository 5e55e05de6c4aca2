//! Partitioners: they map the bytes of a key to a partition. Must not know types of keys.

use serde::Serialize;

/// Hash function that assigns keys to partitions.
///
/// The partitioner is part of the type of a topic, because a reader of a table must look for a key in the partition
/// that the writer has chosen. The topics of a group must have the same partitioner. The default matches Kafka's Java
/// clients and Kafka Streams.
///
/// ```
/// use goka::Partitioner;
///
/// #[goka::stream("user-clicks", value = String, partitioner = fnv1a)]
/// struct Clicks; // written by Go Goka
///
/// assert_eq!(Partitioner::Murmur2.partition(b"alice", 12), 9);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Partitioner {
    /// The partitioner of Kafka's Java clients and Kafka Streams: 32-bit murmur2 of the key, without the sign bit,
    /// modulo the number of partitions. The default.
    #[default]
    Murmur2,
    /// The partitioner of Goka for Go: 32-bit FNV-1a of the key as a signed number, modulo the number of partitions,
    /// without the sign of the result.
    Fnv1a,
    /// The default partitioner of librdkafka (`consistent_random`), and therefore of confluent-kafka for Python, Go and
    /// .NET: CRC-32 of the key, modulo the number of partitions. librdkafka places empty keys at random; goka places
    /// them in partition 0.
    Crc32,
}

impl Partitioner {
    /// All partitioners.
    pub(crate) const ALL: [Partitioner; 3] =
        [Partitioner::Murmur2, Partitioner::Fnv1a, Partitioner::Crc32];

    /// The partition of `key`, from 0 to `partitions` - 1.
    ///
    /// # Panics
    /// If `partitions` is not positive.
    pub fn partition(self, key: &[u8], partitions: i32) -> i32 {
        assert!(partitions > 0, "a topic must have at least one partition");
        match self {
            Partitioner::Murmur2 => (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions,
            Partitioner::Fnv1a => (fnv1a(key).cast_signed() % partitions).abs(),
            Partitioner::Crc32 => (crc32fast::hash(key) % partitions.unsigned_abs()).cast_signed(),
        }
    }
}

/// Writes the name of the partitioner, as in `partitioner = ...` in an attribute.
impl std::fmt::Display for Partitioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Fnv1a => "fnv1a",
            Partitioner::Crc32 => "crc32",
        })
    }
}

/// Kafka's `Utils.murmur2`: murmur2 with a fixed seed.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Go's `hash/fnv.New32a`.
fn fnv1a(key: &[u8]) -> u32 {
    let offset = 0x811c_9dc5;
    key.iter().fold(offset, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
