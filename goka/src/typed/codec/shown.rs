//! Shows the bytes of values to people and as JSON. Must not know topics.

use std::{fmt, io};

use serde::{
    Deserializer, Serialize,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::base::error::BoxError;

/// A value as a text for people and for JSON, made by [`Codec::show`](crate::Codec::show). The text is at most
/// [`Shown::BYTES_MAX`] bytes long.
///
/// ```
/// use goka::{Codec, codec::{Form, Json, Shown}};
///
/// let shown = <Json as Codec<Vec<u8>>>::show(br#"{ "page": "home" }"#);
/// assert_eq!((shown.form(), shown.text()), (Form::JsonText, r#"{"page":"home"}"#));
///
/// let shown = Shown::bytes_of(&[0xff, 0x00]);
/// assert_eq!((shown.form(), shown.text()), (Form::HexDigits, "ff00"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    form: Form,
    text: String,
    left_out: usize,
}

/// The form of the text of a [`Shown`].
//
// No variant has the name of a type, because rustc would then print the whole path of that type in its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Plain text: the value itself is text, or its bytes are shown as text.
    PlainText,
    /// A JSON document, which can be inserted unchanged into another JSON document. Integers that a double cannot hold
    /// (beyond 2^53) are JSON strings, because most readers of JSON would change them.
    JsonText,
    /// The bytes of the value in hexadecimal, two digits per byte.
    HexDigits,
}

impl Shown {
    /// Maximum length of the text, in bytes: 1 MiB. Longer plain text and hexadecimal digits are cut; a value whose
    /// JSON would be longer is shown as bytes.
    pub const BYTES_MAX: usize = 1 << 20;

    /// Shows a text.
    pub fn text_of(text: impl Into<String>) -> Self {
        let mut text = text.into();
        let kept = text.floor_char_boundary(Self::BYTES_MAX);
        let left_out = text.len() - kept;
        text.truncate(kept);
        Shown {
            form: Form::PlainText,
            text,
            left_out,
        }
    }

    /// Shows bytes whose format is not known: as text if they are UTF-8 without control characters other than line
    /// breaks and tabs, otherwise in hexadecimal.
    pub fn bytes_of(bytes: &[u8]) -> Self {
        let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(is_plain) => Self::text_of(text),
            Ok(_) | Err(_) => Self::hex_of(bytes),
        }
    }

    /// Shows bytes in hexadecimal.
    pub fn hex_of(bytes: &[u8]) -> Self {
        let kept = &bytes[..bytes.len().min(Self::BYTES_MAX / 2)];
        let mut text = String::with_capacity(kept.len() * 2);
        push_hex(&mut text, kept);
        Shown {
            form: Form::HexDigits,
            text,
            left_out: bytes.len() - kept.len(),
        }
    }

    /// Shows a value as JSON, using its `Serialize`.
    ///
    /// # Errors
    /// The value cannot be JSON (for example a map whose keys are lists), or its JSON is longer than
    /// [`BYTES_MAX`](Self::BYTES_MAX).
    pub fn json_of(value: &impl Serialize) -> Result<Self, BoxError> {
        let mut out = Json::default();
        let mut serializer =
            serde_json::Serializer::with_formatter(&mut out, ExactIntegers::default());
        value.serialize(&mut serializer)?;
        Ok(out.shown()?)
    }

    /// Shows a value of a self-describing format as JSON. `format` is the deserializer of the value.
    pub(super) fn transcoded<'de, D: Deserializer<'de>>(format: D) -> Result<Self, D::Error> {
        let mut out = Json::default();
        format.deserialize_any(ToJson(&mut out))?;
        out.shown().map_err(D::Error::custom)
    }

    /// Returns the form of the text.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the text: plain text, JSON or hexadecimal digits, as [`form`](Self::form) says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of bytes at the end of the value that the text leaves out, because the value is too long; 0
    /// for most values.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// Writes the text for people, and after it the number of bytes that the text leaves out.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.left_out {
            0 => Ok(()),
            bytes => write!(f, "... ({bytes} more bytes)"),
        }
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Integers up to this magnitude are exact as doubles.
const EXACT_MAX: u64 = 1 << 53;

/// JSON that is being written, of at most `Shown::BYTES_MAX` bytes.
#[derive(Default)]
struct Json(Vec<u8>);

const TOO_LONG: &str = "the JSON of the value is longer than the maximum that is shown";

impl Json {
    fn push(&mut self, text: &str) -> Result<(), &'static str> {
        if self.0.len() + text.len() > Shown::BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Result<(), &'static str> {
        // The JSON of a text is at least as long as the text, so a text that is too long is refused before it is
        // copied.
        if self.0.len() + text.len() > Shown::BYTES_MAX {
            return Err(TOO_LONG);
        }
        serde_json::to_writer(&mut *self, text).map_err(|_| TOO_LONG)
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.0.len() + 2 * bytes.len() > Shown::BYTES_MAX {
            return Err(TOO_LONG);
        }
        let mut hex = String::with_capacity(2 * bytes.len());
        push_hex(&mut hex, bytes);
        self.push_text(&hex)
    }

    fn push_integer(&mut self, magnitude: u64, is_negative: bool) -> Result<(), &'static str> {
        let sign = if is_negative { "-" } else { "" };
        match magnitude <= EXACT_MAX {
            true => self.push(&format!("{sign}{magnitude}")),
            false => self.push(&format!("\"{sign}{magnitude}\"")),
        }
    }

    fn push_float(&mut self, value: f64, shortest: &str) -> Result<(), &'static str> {
        match value.is_finite() {
            true => self.push(shortest),
            // JSON has no NaN and no infinities.
            false => self.push(&format!("\"{value}\"")),
        }
    }

    fn shown(self) -> Result<Shown, &'static str> {
        let text = String::from_utf8(self.0).map_err(|_| "the JSON of the value is not UTF-8")?;
        Ok(Shown {
            form: Form::JsonText,
            text,
            left_out: 0,
        })
    }
}

impl io::Write for Json {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > Shown::BYTES_MAX {
            return Err(io::Error::other(TOO_LONG));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formatter that writes an integer as a string if a double cannot hold it.
#[derive(Default)]
struct ExactIntegers {
    /// Whether the formatter is inside a string. It is, for an integer that is the key of a map: serde_json writes the
    /// quotes.
    is_in_quotes: bool,
}

/// Implements methods such as `write_u64`, which write the number itself, or the number in quotes.
macro_rules! integers {
    ($($write:ident: $number:ty, $exact:expr;)*) => { $(
        fn $write<W: ?Sized + io::Write>(&mut self, out: &mut W, value: $number) -> io::Result<()> {
            match self.is_in_quotes || $exact.contains(&value) {
                true => CompactFormatter.$write(out, value),
                false => write!(out, "\"{value}\""),
            }
        }
    )* };
}

impl Formatter for ExactIntegers {
    integers! {
        write_i64: i64, (-EXACT_MAX.cast_signed()..=EXACT_MAX.cast_signed());
        write_u64: u64, (0..=EXACT_MAX);
        write_i128: i128, (-i128::from(EXACT_MAX)..=i128::from(EXACT_MAX));
        write_u128: u128, (0..=u128::from(EXACT_MAX));
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.is_in_quotes = true;
        CompactFormatter.begin_string(out)
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.is_in_quotes = false;
        CompactFormatter.end_string(out)
    }
}

/// Visitor that writes each value that it visits as JSON.
struct ToJson<'a>(&'a mut Json);

impl<'de> DeserializeSeed<'de> for ToJson<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Implements visitor methods for values that one call writes.
macro_rules! visits {
    ($($visit:ident($type:ty): |$out:ident, $value:ident| $write:expr;)*) => { $(
        fn $visit<E: serde::de::Error>(self, $value: $type) -> Result<(), E> {
            let $out = self.0;
            $write.map_err(E::custom)
        }
    )* };
}

impl<'de> Visitor<'de> for ToJson<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    visits! {
        visit_bool(bool): |out, value| out.push(if value { "true" } else { "false" });
        visit_i64(i64): |out, value| out.push_integer(value.unsigned_abs(), value < 0);
        visit_u64(u64): |out, value| out.push_integer(value, false);
        visit_f32(f32): |out, value| out.push_float(value.into(), &format!("{value:?}"));
        visit_f64(f64): |out, value| out.push_float(value, &format!("{value:?}"));
        visit_str(&str): |out, value| out.push_text(value);
        visit_bytes(&[u8]): |out, value| out.push_bytes(value);
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.push("null").map_err(E::custom)
    }

    /// Writes an extension of MessagePack: a list of its number and its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push("[").map_err(A::Error::custom)?;
        let mut is_first = true;
        loop {
            let item = Separated {
                out: &mut *self.0,
                is_first,
            };
            if items.next_element_seed(item)?.is_none() {
                break;
            }
            is_first = false;
        }
        self.0.push("]").map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.push("{").map_err(A::Error::custom)?;
        let mut is_first = true;
        while let Some(key) = entries.next_key_seed(AsKey)? {
            let separator = if is_first { "" } else { "," };
            self.0.push(separator).map_err(A::Error::custom)?;
            self.0.push_text(&key).map_err(A::Error::custom)?;
            self.0.push(":").map_err(A::Error::custom)?;
            entries.next_value_seed(ToJson(self.0))?;
            is_first = false;
        }
        self.0.push("}").map_err(A::Error::custom)
    }
}

/// An item of a list, which is written after a comma unless it is the first.
struct Separated<'a> {
    out: &'a mut Json,
    is_first: bool,
}

impl<'de> DeserializeSeed<'de> for Separated<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.is_first {
            self.out.push(",").map_err(D::Error::custom)?;
        }
        ToJson(self.out).deserialize(deserializer)
    }
}

/// The key of a map, as a string, since JSON allows only string keys. For a key that is not a string, its JSON text is
/// used: `7` becomes `"7"`.
struct AsKey;

impl<'de> DeserializeSeed<'de> for AsKey {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let mut out = Json::default();
        deserializer.deserialize_any(ToJson(&mut out))?;
        let text = String::from_utf8(out.0).map_err(D::Error::custom)?;
        match text.starts_with('"') {
            true => serde_json::from_str(&text).map_err(D::Error::custom),
            false => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests;
