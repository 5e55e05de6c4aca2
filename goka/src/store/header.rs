//! The header of a local copy, in the LMDB table `meta`: format, identity and position.
//!
//! The header is part of the data format. `format` is 32 bits, big-endian, in every version of the format. `identity`
//! and `position` are MessagePack arrays; earlier versions wrote the position without its fourth element.
//! `reaches`, 64 bits, big-endian, is an offset in the changelog. It exists while rows may be ahead of the position
//! because a batch was stored in parts: all rows of that batch are in the changelog below this offset. Must not know
//! rows.

use heed::{Error, Result, RoTxn, RwTxn};

use super::{identity::Identity, position::Position, rows::Table};

/// The version of the data format: of this header, of stored keys, and of buckets.
const FORMAT: u32 = 1;

const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";
const POSITION_KEY: &[u8] = b"position";
const REACHES_KEY: &[u8] = b"reaches";

/// The result of comparing a header with the wanted identity.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The header of the wanted copy. `learn_id` is set if the topic id is known now, but not stored yet.
    Right {
        position: Position,
        reaches: Option<i64>,
        learn_id: bool,
    },
    /// The header of another copy, which is to be discarded for this reason.
    Other(String),
    /// The header of the wanted copy, but its rows were written with another codec. Discarding the copy would not help,
    /// because the records of the changelog have that codec, too.
    Codec { written: String },
}

/// Writes the header of an empty copy.
pub(super) fn create(meta: &Table<'_>, txn: &mut RwTxn<'_>, identity: &Identity) -> Result<()> {
    meta.put(txn, FORMAT_KEY, &FORMAT.to_be_bytes())?;
    put_identity(meta, txn, identity)?;
    put_position(meta, txn, &Position::default())
}

pub(super) fn put_identity(
    meta: &Table<'_>,
    txn: &mut RwTxn<'_>,
    identity: &Identity,
) -> Result<()> {
    let Identity {
        cluster,
        topic,
        topic_id,
        partition,
        partitions,
        codec,
    } = identity;
    let array = (cluster, topic, topic_id, partition, partitions, codec);
    let bytes = rmp_serde::to_vec(&array).map_err(|error| Error::Encoding(error.into()))?;
    meta.put(txn, IDENTITY_KEY, &bytes)
}

pub(super) fn put_position(
    meta: &Table<'_>,
    txn: &mut RwTxn<'_>,
    position: &Position,
) -> Result<()> {
    let Position {
        changelog,
        inputs,
        at_ms,
        whole_from,
    } = position;
    let array = (changelog, inputs, at_ms, whole_from);
    let bytes = rmp_serde::to_vec(&array).map_err(|error| Error::Encoding(error.into()))?;
    meta.put(txn, POSITION_KEY, &bytes)
}

/// Stores the offset `reaches`, below which all rows are; `None` if no row is ahead of the position.
pub(super) fn put_reaches(
    meta: &Table<'_>,
    txn: &mut RwTxn<'_>,
    reaches: Option<i64>,
) -> Result<()> {
    match reaches {
        Some(reaches) => meta.put(txn, REACHES_KEY, &reaches.to_be_bytes()),
        None => meta.delete(txn, REACHES_KEY).map(drop),
    }
}

/// Compares a header with the wanted identity.
pub(super) fn judge(meta: &Table<'_>, txn: &RoTxn<'_>, wanted: &Identity) -> Result<Verdict> {
    let format = meta.get(txn, FORMAT_KEY)?.and_then(<[u8]>::first_chunk);
    let format = format.copied().map(u32::from_be_bytes);
    if format != Some(FORMAT) {
        let written = format.map_or("an unknown format".to_owned(), |f| format!("format {f}"));
        return Ok(Verdict::Other(format!(
            "the local copy has {written}, but this version of goka has format {FORMAT}"
        )));
    }
    let unreadable = || {
        let reason = "the header of the local copy is unreadable";
        Ok(Verdict::Other(reason.to_owned()))
    };
    let Some(written) = identity(meta.get(txn, IDENTITY_KEY)?.unwrap_or_default()) else {
        return unreadable();
    };
    let Some(position) = position(meta.get(txn, POSITION_KEY)?.unwrap_or_default()) else {
        return unreadable();
    };
    if let Some(reason) = difference(&written, wanted) {
        return Ok(Verdict::Other(reason));
    }
    if written.codec != wanted.codec {
        return Ok(Verdict::Codec {
            written: written.codec,
        });
    }
    let learn_id = written.topic_id.is_empty() && !wanted.topic_id.is_empty();
    let reaches = meta.get(txn, REACHES_KEY)?.and_then(<[u8]>::first_chunk);
    Ok(Verdict::Right {
        position,
        reaches: reaches.copied().map(i64::from_be_bytes),
        learn_id,
    })
}

fn identity(bytes: &[u8]) -> Option<Identity> {
    let (cluster, topic, topic_id, partition, partitions, codec) =
        rmp_serde::from_slice(bytes).ok()?;
    Some(Identity {
        cluster,
        topic,
        topic_id,
        partition,
        partitions,
        codec,
    })
}

fn position(bytes: &[u8]) -> Option<Position> {
    // The first byte of an array of three elements, as an earlier version wrote it.
    let (changelog, inputs, at_ms, whole_from) = match bytes.first() {
        Some(0x93) => {
            let (changelog, inputs, at_ms) = rmp_serde::from_slice(bytes).ok()?;
            (changelog, inputs, at_ms, 0)
        }
        _ => rmp_serde::from_slice(bytes).ok()?,
    };
    Some(Position {
        changelog,
        inputs,
        at_ms,
        whole_from,
    })
}

/// Why a copy with the identity `written` is not the wanted one.
fn difference(written: &Identity, wanted: &Identity) -> Option<String> {
    if written.cluster != wanted.cluster {
        return Some(format!(
            "the local copy is from cluster `{}`, but the brokers belong to cluster `{}`",
            written.cluster, wanted.cluster
        ));
    }
    if written.topic != wanted.topic {
        return Some(format!(
            "the local copy is of topic `{}`, not of `{}`",
            written.topic, wanted.topic
        ));
    }
    let ids_known = !written.topic_id.is_empty() && !wanted.topic_id.is_empty();
    if ids_known && written.topic_id != wanted.topic_id {
        return Some(format!(
            "topic `{}` was deleted and created again: its id was `{}` and is now `{}`",
            wanted.topic, written.topic_id, wanted.topic_id
        ));
    }
    if written.partitions != wanted.partitions {
        return Some(format!(
            "topic `{}` had {} partitions and now has {}",
            wanted.topic, written.partitions, wanted.partitions
        ));
    }
    if written.partition != wanted.partition {
        return Some(format!(
            "the local copy is of partition {}, not of {}",
            written.partition, wanted.partition
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    /// Limit of the allocated memory in bytes: for a list, serde allocates room for as many elements as the header
    /// announces, up to a megabyte.
    const LIST: u64 = (1 << 20) + 4096;

    #[test]
    fn headers_are_fuzzed() {
        let array = ("cluster", "topic", "", 1, 2, "text");
        let valid = rmp_serde::to_vec(&array).unwrap();
        assert_eq!(identity(&valid).unwrap().partitions, 2);
        fuzz("an identity", &[valid], LIST, |bytes| drop(identity(bytes)));
        let array = (7, vec![("clicks#id", i64::MAX), ("", -1)], 0);
        let valid = rmp_serde::to_vec(&array).unwrap();
        assert_eq!(position(&valid).unwrap().inputs[1].1, -1);
        let array = (7, vec![("clicks#id", 1)], 0, 9);
        let whole = rmp_serde::to_vec(&array).unwrap();
        assert_eq!(position(&whole).unwrap().whole_from, 9);
        fuzz("a position", &[valid, whole], LIST, |bytes| {
            drop(position(bytes))
        });
    }
}
