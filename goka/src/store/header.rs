//! What a copy says about itself, in LMDB's table `meta`: its format, what it is a copy of, and
//! where it stands. Part of the data format: `format` is 32 bits, big-endian, and stays so in every
//! format; `identity` and `position` are MessagePack arrays. `reaches`, 64 bits, big-endian, is there while rows may be
//! those of any position up to that one: the batch was stored in parts.

use heed::{Error, Result, RoTxn, RwTxn};

use super::{identity::Identity, position::Position, rows::Table};

/// Changes with anything in the data format: this header, stored keys, buckets.
const FORMAT: u32 = 1;

const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";
const POSITION_KEY: &[u8] = b"position";
const REACHES_KEY: &[u8] = b"reaches";

/// What an environment turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What was asked for. Its topic's id is not stored yet, but known by now: `learn_id`.
    Right {
        position: Position,
        reaches: Option<i64>,
        learn_id: bool,
    },
    /// Something else, to be discarded for this reason.
    Other(String),
    /// Right but for its codec, which a copy made anew would not help against.
    Codec { written: String },
}

/// Writes everything, for a copy that is empty.
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
        table,
        inputs,
        at_ms,
    } = position;
    let array = (table, inputs, at_ms);
    let bytes = rmp_serde::to_vec(&array).map_err(|error| Error::Encoding(error.into()))?;
    meta.put(txn, POSITION_KEY, &bytes)
}

/// `None`: rows are those of the position.
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

/// Compares what is there with what is wanted.
pub(super) fn judge(meta: &Table<'_>, txn: &RoTxn<'_>, wanted: &Identity) -> Result<Verdict> {
    let format = meta.get(txn, FORMAT_KEY)?.and_then(<[u8]>::first_chunk);
    let format = format.copied().map(u32::from_be_bytes);
    if format != Some(FORMAT) {
        let written = format.map_or("an unknown format".to_owned(), |f| format!("format {f}"));
        return Ok(Verdict::Other(format!(
            "it is in {written}, and this program reads and writes format {FORMAT}"
        )));
    }
    let unreadable = || Ok(Verdict::Other("its header is unreadable".to_owned()));
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
    let (table, inputs, at_ms) = rmp_serde::from_slice(bytes).ok()?;
    Some(Position {
        table,
        inputs,
        at_ms,
    })
}

/// Why rows of the one are not rows of the other.
fn difference(written: &Identity, wanted: &Identity) -> Option<String> {
    if written.cluster != wanted.cluster {
        return Some(format!(
            "it was made from the cluster `{}`, and this is the cluster `{}`",
            written.cluster, wanted.cluster
        ));
    }
    if written.topic != wanted.topic {
        return Some(format!(
            "it is a copy of the topic `{}`, not of `{}`",
            written.topic, wanted.topic
        ));
    }
    let ids_known = !written.topic_id.is_empty() && !wanted.topic_id.is_empty();
    if ids_known && written.topic_id != wanted.topic_id {
        return Some(format!(
            "the topic `{}` was created anew: its id was `{}`, and is `{}`",
            wanted.topic, written.topic_id, wanted.topic_id
        ));
    }
    if written.partitions != wanted.partitions {
        return Some(format!(
            "the topic `{}` had {} partitions, and has {}",
            wanted.topic, written.partitions, wanted.partitions
        ));
    }
    if written.partition != wanted.partition {
        return Some(format!(
            "it is a copy of partition {}, not of {}",
            written.partition, wanted.partition
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    /// For a list, serde makes room for as many elements as are promised, up to a megabyte.
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
        fuzz("a position", &[valid], LIST, |bytes| drop(position(bytes)));
    }
}
