//! Buckets: the stored value of a long key. A bucket contains whole keys with their values, because the stored key
//! contains only a hash of a long key. Keys with equal hashes share a bucket, so a collision only costs time: a read
//! never returns the value of another key.
//!
//! An entry is the length of the key and the length of the value (32 bits each, big-endian), followed by the key and
//! the value. Buckets are part of the data format. Must not know LMDB, except for its errors.

use heed::{Error, MdbError, Result};

/// The entries of a bucket. A bucket that ends in the middle of an entry is damaged.
pub(super) struct Entries<'b>(pub(super) &'b [u8]);

impl<'b> Iterator for Entries<'b> {
    /// The key and the value of an entry.
    type Item = Result<(&'b [u8], &'b [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.0 = &[];
        }
        Some(entry.ok_or(Error::Mdb(MdbError::Corrupted)))
    }
}

impl<'b> Entries<'b> {
    fn entry(&mut self) -> Option<(&'b [u8], &'b [u8])> {
        let (key_length, rest) = self.0.split_first_chunk()?;
        let (value_length, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(length(*key_length)?)?;
        let (value, rest) = rest.split_at_checked(length(*value_length)?)?;
        self.0 = rest;
        Some((key, value))
    }
}

fn length(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

/// The value of `key` in the bucket.
pub(super) fn find<'b>(bucket: &'b [u8], key: &[u8]) -> Result<Option<&'b [u8]>> {
    for entry in Entries(bucket) {
        let (of, value) = entry?;
        if of == key {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A copy of the bucket that has `value` at `key`, or that lacks `key` if `value` is `None`.
pub(super) fn rewritten(bucket: &[u8], key: &[u8], value: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut new = Vec::with_capacity(bucket.len() + 8 + key.len() + value.map_or(0, <[u8]>::len));
    for entry in Entries(bucket) {
        let (of, value) = entry?;
        if of != key {
            push(&mut new, of, value)?;
        }
    }
    if let Some(value) = value {
        push(&mut new, key, value)?;
    }
    Ok(new)
}

fn push(bucket: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<()> {
    for bytes in [key, value] {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::Mdb(MdbError::BadValSize))?;
        bucket.extend_from_slice(&length.to_be_bytes());
    }
    bucket.extend_from_slice(key);
    bucket.extend_from_slice(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    #[test]
    fn the_format_is_frozen() {
        let bucket = rewritten(b"", b"key", Some(b"v")).unwrap();
        assert_eq!(bucket, b"\0\0\0\x03\0\0\0\x01keyv");
    }

    #[test]
    fn entries_come_and_go_alone() {
        let one = rewritten(b"", b"one", Some(b"1")).unwrap();
        let two = rewritten(&one, b"two", Some(b"")).unwrap();
        let three = rewritten(&two, b"one", Some(b"11")).unwrap();
        assert_eq!(find(&three, b"one").unwrap(), Some(&b"11"[..]));
        assert_eq!(find(&three, b"two").unwrap(), Some(&b""[..]));
        assert_eq!(find(&three, b"").unwrap(), None);
        let four = rewritten(&three, b"one", None).unwrap();
        assert_eq!(find(&four, b"one").unwrap(), None);
        assert_eq!(find(&four, b"two").unwrap(), Some(&b""[..]));
        assert_eq!(rewritten(&four, b"two", None).unwrap(), b"");
    }

    #[test]
    fn damage_is_an_error() {
        let bucket = rewritten(b"", b"key", Some(b"value")).unwrap();
        for length in 1..bucket.len() {
            find(&bucket[..length], b"other").expect_err("cut short");
        }
        find(&[255; 12], b"other").expect_err("lengths beyond the end");
    }

    #[test]
    fn buckets_are_fuzzed() {
        let one = rewritten(b"", b"one", Some(b"1")).unwrap();
        let two = rewritten(&one, b"two", Some(b"")).unwrap();
        fuzz("a bucket", &[one, two, vec![0; 24]], 256, |bucket| {
            let whole = Entries(bucket).all(|entry| entry.is_ok());
            assert_eq!(find(bucket, b"no such key").is_ok(), whole);
            match rewritten(bucket, b"one", Some(b"new")) {
                Ok(new) => assert_eq!(find(&new, b"one").unwrap(), Some(&b"new"[..])),
                Err(_) => assert!(!whole),
            }
        });
    }
}
