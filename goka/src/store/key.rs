//! Stored keys: the bytes by which LMDB orders and finds rows.
//!
//! LMDB allows keys of 1 to 511 bytes, Kafka allows keys of any length. A key of up to [`WHOLE_MAX`] bytes is stored as
//! a tag byte followed by the key. A longer key is stored as another tag byte, its first [`HEAD`] bytes and a hash of
//! the whole key; the stored value is then a bucket, which contains the whole key (see `bucket.rs`). Stored keys are
//! part of the data format: any change here needs another `FORMAT`. Must not know LMDB.

use siphasher::sip128::SipHasher24;

/// Keys up to this many bytes are stored whole.
const WHOLE_MAX: usize = 480;
/// Number of bytes at the start of a longer key that its stored key contains.
const HEAD: usize = WHOLE_MAX - 16;

const WHOLE: u8 = 0;
const HASHED: u8 = 1;

/// Room for any stored key, on the stack: looking up a row allocates nothing.
pub(super) type Buffer = [u8; 1 + WHOLE_MAX];

pub(super) const EMPTY: Buffer = [0; 1 + WHOLE_MAX];

/// Whether `key` is long, so that its stored key contains only a part of the key.
pub(super) fn is_long(key: &[u8]) -> bool {
    key.len() > WHOLE_MAX
}

/// The stored form of `key`.
pub(super) fn stored<'b>(key: &[u8], buffer: &'b mut Buffer) -> &'b [u8] {
    if is_long(key) {
        buffer[0] = HASHED;
        buffer[1..=HEAD].copy_from_slice(&key[..HEAD]);
        buffer[1 + HEAD..].copy_from_slice(&hash(key));
        buffer
    } else {
        buffer[0] = WHOLE;
        buffer[1..=key.len()].copy_from_slice(key);
        &buffer[..=key.len()]
    }
}

/// The key in a stored key that contains the whole key.
pub(super) fn whole(stored: &[u8]) -> &[u8] {
    &stored[1..]
}

/// The head of a long key's stored key: the tag byte and the first bytes of the key. Long keys with equal heads are
/// adjacent, in the order of their hashes.
pub(super) fn head(stored: &[u8]) -> &[u8] {
    stored.get(..=HEAD).unwrap_or(stored)
}

/// A stretch of stored keys: its lower and its upper bound, both inclusive.
pub(super) type Stretch = (Vec<u8>, Vec<u8>);

/// The stretch of all keys from `from` to `to` that are stored whole; if `to` is `None`, up to the last key. The
/// stretch may contain other keys at its ends.
pub(super) fn whole_between(from: &[u8], to: Option<&[u8]>) -> Stretch {
    let cut = |key: &[u8]| [&[WHOLE], &key[..key.len().min(WHOLE_MAX)]].concat();
    // Every key that is stored whole sorts before the tag of long keys.
    (cut(from), to.map_or(vec![HASHED], cut))
}

/// The stretch of all long keys from `from` to `to`; if `to` is `None`, up to the last key. The stretch may contain
/// other keys at its ends.
pub(super) fn long_between(from: &[u8], to: Option<&[u8]>) -> Stretch {
    let cut = |key: &[u8]| [&[HASHED], &key[..key.len().min(HEAD)]].concat();
    // Stored keys with an equal head sort after the head alone, and not after the head with the largest hash.
    let behind = |key: &[u8]| [&cut(key)[..], &[255; 16]].concat();
    (cut(from), to.map_or(vec![HASHED + 1], behind))
}

/// SipHash-2-4-128 of `key`, with the SipHash key 0 and in the byte order of the reference implementation.
fn hash(key: &[u8]) -> [u8; 16] {
    #[cfg(test)]
    if tests::COLLIDE.get() {
        return [0; 16];
    }
    SipHasher24::new().hash(key).as_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Whether all long keys of this thread get one and the same hash.
        pub(in crate::store) static COLLIDE: Cell<bool> = const { Cell::new(false) };
    }

    fn of(key: &[u8]) -> Vec<u8> {
        stored(key, &mut EMPTY.clone()).to_vec()
    }

    #[test]
    fn the_format_is_frozen() {
        assert_eq!(of(b""), [0]);
        assert_eq!(of(b"user-1"), b"\0user-1");
        assert_eq!(of(&[7; 480]), [&[0][..], &[7; 480]].concat());
        let key: Vec<u8> = (0..481_u32).map(|n| n as u8).collect();
        let hash = u128::from_be_bytes(of(&key)[465..].try_into().unwrap());
        assert_eq!(of(&key)[..465], [&[1], &key[..464]].concat());
        assert_eq!(hash, 0x5610_f7f2_5761_fe73_3da5_88ac_e70a_50c0);
    }

    /// Test vectors of the reference implementation (`vectors.h`, key 00 01 .. 0f, input 00 01 ..).
    #[test]
    fn the_hash_is_siphash_2_4_with_128_bits() {
        let key: [u8; 16] = std::array::from_fn(|n| n as u8);
        let hasher = SipHasher24::new_with_key(&key);
        let vectors = [
            0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128,
            0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45,
            0x8177_228d_a4a4_5dc7_fca3_8bde_f60a_ffe4,
        ];
        for (length, expected) in vectors.into_iter().enumerate() {
            let input: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert_eq!(
                u128::from_be_bytes(hasher.hash(&input).as_bytes()),
                expected
            );
        }
    }

    #[test]
    fn no_stored_key_is_longer_than_lmdb_takes() {
        assert_eq!(of(&[255; 480]).len(), 481);
        assert_eq!(of(&[255; 100_000]).len(), 481);
        let (from, to) = long_between(&[255; 1000], Some(&[255; 1000]));
        assert_eq!((from.len(), to.len()), (465, 481));
        assert_eq!(whole_between(&[255; 1000], None).0.len(), 481);
    }
}
