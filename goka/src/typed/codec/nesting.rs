//! Checks MessagePack before it is decoded: how deeply lists and maps are nested, and whether the lengths that they
//! declare fit the number of bytes. Must not know types.
//!
//! rmp-serde limits the depth but does not count enums, and it decodes a recursive type by recursion: one malicious
//! record could overflow the stack of a worker and end the process. For a list that declares a false length, serde
//! allocates up to a megabyte at each level of nesting.

/// Maximum depth of nested lists and maps.
const DEPTH_MAX: usize = 128;
/// Maximum depth that serde_json decodes.
pub(super) const JSON_DEPTH_MAX: usize = 127;

const TOO_DEEP: &str = "lists and maps are nested more than 128 levels deep";
pub(super) const JSON_TOO_DEEP: &str = "lists and objects are nested more than 127 levels deep";

/// Maximum number of values that are always walked. Bytes with more values are walked only if they may be harmful.
const FEW: usize = 32;

/// Returns an error with the reason if the bytes must not be decoded. The decoder reports other mistakes in the bytes.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    // Each level of nesting takes at least one value, so `FEW` levels suffice for `FEW` values.
    match walk(bytes, FEW, &mut [0; FEW]) {
        Some(outcome) => outcome,
        None if may_be_harmful(bytes) => walk_all(bytes),
        None => Ok(()),
    }
}

/// Whether bytes with many values may be harmful. This cheap test counts bytes, and finds most records harmless: each
/// level of nesting takes a byte that begins a list or map, and each length above 15 takes one of four byte values.
fn may_be_harmful(bytes: &[u8]) -> bool {
    let (mut long, mut short) = (0, 0);
    // The count of a chunk fits into a byte, so that the compiler vectorizes the loop.
    for chunk in bytes.chunks(128) {
        let mut short_here = 0_u8;
        for byte in chunk {
            long |= u8::from(byte & 0xfc == 0xdc);
            short_here += u8::from(byte & 0xe0 == 0x80);
        }
        short += usize::from(short_here);
    }
    long != 0 || short > DEPTH_MAX
}

fn walk_all(bytes: &[u8]) -> Result<(), &'static str> {
    walk(bytes, usize::MAX, &mut [0; DEPTH_MAX]).unwrap_or(Ok(()))
}

/// Walks over one value, without recursion. Returns `None` if this value contains more than `most` values. `levels`
/// has one element for each level of nesting that is allowed: the number of values that are still to come at this
/// level.
fn walk(
    mut rest: &[u8],
    mut most: usize,
    levels: &mut [usize],
) -> Option<Result<(), &'static str>> {
    // `promised` is the number of values that are still to come at all levels together.
    let (mut depth, mut promised) = (0, 1_usize);
    while promised > 0 {
        while depth > 0 && levels[depth - 1] == 0 {
            depth -= 1;
        }
        if depth > 0 {
            levels[depth - 1] -= 1;
        }
        promised -= 1;
        most = most.checked_sub(1)?;
        let Some((marker, behind)) = rest.split_first() else {
            return Some(Ok(()));
        };
        let Some(Begun { bytes, values }) = begun(*marker, behind) else {
            return Some(Ok(()));
        };
        let Some(behind) = behind.get(bytes..) else {
            return Some(Ok(()));
        };
        rest = behind;
        if let Some(values) = values {
            // Each value takes at least one byte.
            if promised.saturating_add(values) > rest.len() {
                return Some(Err(
                    "a list or map declares more elements than there are bytes left",
                ));
            }
            promised += values;
            let Some(level) = levels.get_mut(depth) else {
                return Some(Err(TOO_DEEP));
            };
            *level = values;
            depth += 1;
        }
    }
    Some(Ok(()))
}

/// What follows the first byte of a value.
struct Begun {
    bytes: usize,
    /// For a list or map, the number of its values, which come after these bytes; `None` for other values.
    values: Option<usize>,
}

/// Says what follows the first byte of a value, `marker`. Returns `None` if the bytes end within the length of the
/// value, or are not MessagePack.
fn begun(marker: u8, rest: &[u8]) -> Option<Begun> {
    let length = |width: usize| {
        let bytes = rest.get(..width)?;
        Some(bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    };
    let low = usize::from(marker & 0x0f);
    let plain = |bytes: usize| Some((bytes, None));
    let (bytes, values) = match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => plain(0),
        0x80..=0x8f => Some((0, Some(low * 2))),
        0x90..=0x9f => Some((0, Some(low))),
        0xa0..=0xbf => plain(usize::from(marker & 0x1f)),
        0xc1 => None,
        // Bytes and texts with a length, and extensions, which also have a type.
        0xc4 | 0xd9 => plain(1 + length(1)?),
        0xc5 | 0xda => plain(2 + length(2)?),
        0xc6 | 0xdb => plain(4 + length(4)?),
        0xc7 => plain(2 + length(1)?),
        0xc8 => plain(3 + length(2)?),
        0xc9 => plain(5 + length(4)?),
        0xd4..=0xd8 => plain(1 + (1 << (marker - 0xd4))),
        // Numbers.
        0xcc | 0xd0 => plain(1),
        0xcd | 0xd1 => plain(2),
        0xca | 0xce | 0xd2 => plain(4),
        0xcb | 0xcf | 0xd3 => plain(8),
        0xdc => Some((2, Some(length(2)?))),
        0xdd => Some((4, Some(length(4)?))),
        0xde => Some((2, Some(length(2)? * 2))),
        0xdf => Some((4, Some(length(4)?.checked_mul(2)?))),
    }?;
    Some(Begun { bytes, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sound_passes() {
        let value = serde_json::json!({
            "list": [1, -1, 70_000, -70_000, 1.5, null, true, "x".repeat(40), "y".repeat(300)],
            "long": (0..400).collect::<Vec<_>>(),
            "map": (0..40).map(|n| (n.to_string(), n)).collect::<std::collections::BTreeMap<_, _>>(),
            "deep": [[[[[{"a": {"b": []}}]]]]],
        });
        let bytes = rmp_serde::to_vec(&value).unwrap();
        walk_all(&bytes).unwrap();
        assert_eq!(walk(&bytes, FEW, &mut [0; FEW]), None);
        check(&bytes).unwrap();
        for length in 0..bytes.len() {
            let _a_promise_may_be_broken = walk_all(&bytes[..length]);
        }
    }

    #[test]
    fn depth_is_counted_exactly() {
        for byte in [0x91, 0x81] {
            let deep = |levels: usize| {
                let mut bytes = vec![byte; levels];
                bytes.extend([0; 600]);
                bytes
            };
            // In a map, the first value is a key, so the nested maps here are keys.
            assert_eq!(check(&deep(DEPTH_MAX)), Ok(()));
            assert_eq!(check(&deep(DEPTH_MAX + 1)), Err(TOO_DEEP));
        }
        let wide: Vec<u8> = [0xdc, 0x01, 0x00].into_iter().chain([0x90; 256]).collect();
        assert_eq!(
            check(&wide),
            Ok(()),
            "many lists beside each other are not nested, and must be accepted"
        );
    }

    #[test]
    fn promises_are_held_against_what_is_there() {
        for bytes in [
            &b"\xdd\xff\xff\xff\xff\x01"[..],
            b"\xdf\xff\xff\xff\xff",
            b"\xdc\x00\x03\x01\x02",
            b"\xde\x00\x02\x01\x02\x03",
            // The inner list declares values that the outer list needs too.
            b"\xdc\x00\x04\xdc\x00\x03\x01\x02\x03\x04",
        ] {
            let why = check(bytes).unwrap_err();
            assert!(
                why.contains("declares more elements than there are bytes left"),
                "{why}"
            );
        }
        for bytes in [&b"\xdc\x00\x02\x01\x02"[..], b"\xde\x00\x01\x01\x02", b""] {
            check(bytes).unwrap();
        }
    }
}
