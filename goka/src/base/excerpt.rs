//! Excerpts of foreign data for errors and logs: long enough to find a record, and bounded, because a key can have a
//! megabyte and an error can repeat a whole value. Must not know where excerpts are shown.

use std::{error::Error, fmt::Write as _};

use crate::base::error::BoxError;

/// Maximum length of a key in an error, in bytes.
const KEY_MAX: usize = 256;

/// Maximum length of the text of a cause, in bytes.
const CAUSE_MAX: usize = 4096;

/// A key in readable form: as text if the key is UTF-8, otherwise in hexadecimal. A long key is cut.
pub(crate) fn key(key: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(key) {
        return cut(text.to_owned(), KEY_MAX);
    }
    let shown = &key[..key.len().min(KEY_MAX / 2)];
    let mut text = String::new();
    for byte in shown {
        // Writing to a `String` never fails.
        let _written = write!(text, "{byte:02x}");
    }
    if shown.len() < key.len() {
        text.push_str(&left_out(key.len()));
    }
    text
}

/// The text of a cause, cut to at most `CAUSE_MAX` bytes.
pub(crate) fn text(text: String) -> String {
    cut(text, CAUSE_MAX)
}

/// The cause itself. If the text of any error in its chain is longer than `CAUSE_MAX`, the result has only the text of
/// the cause, cut to at most `CAUSE_MAX` bytes.
pub(crate) fn cause(cause: BoxError) -> BoxError {
    let mut next: Option<&(dyn Error + 'static)> = Some(&*cause);
    while let Some(error) = next {
        if error.to_string().len() > CAUSE_MAX {
            return text(cause.to_string()).into();
        }
        next = error.source();
    }
    cause
}

/// Cuts a text that is longer than `max` bytes, between two characters, and appends a note with the full length.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let all = text.len();
        let note = left_out(all);
        text.truncate(text.floor_char_boundary(max.saturating_sub(note.len())));
        text.push_str(&note);
    }
    text
}

fn left_out(all: usize) -> String {
    format!(" ... ({all} bytes in all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_shown_whole() {
        assert_eq!(key("grüße".as_bytes()), "grüße");
        assert_eq!(key(&[0xff, 0x01]), "ff01");
        let short = cause("no".into());
        assert_eq!(short.to_string(), "no");
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_so() {
        for long in ["ü".repeat(1_000_000).into_bytes(), vec![0xff; 2_000_000]] {
            let shown = key(&long);
            assert!(shown.len() <= KEY_MAX + 32, "{}", shown.len());
            assert!(shown.ends_with("(2000000 bytes in all)"), "{shown}");
        }
        let shown = cause("ü".repeat(1_000_000).into()).to_string();
        assert!(shown.len() <= CAUSE_MAX, "{}", shown.len());
        assert!(shown.ends_with("(2000000 bytes in all)"), "{shown}");
        for max in 0..40 {
            cut("ü".repeat(100), max);
        }
    }

    #[test]
    fn a_cause_that_is_long_further_down_is_cut_too() {
        let deep = crate::base::error::Error::decode("clicks")("x".repeat(1_000_000).into());
        let shown = cause(deep.into());
        assert!(format!("{shown} {shown:?}").len() < 3 * CAUSE_MAX);
        assert!(shown.source().is_none());
    }
}
