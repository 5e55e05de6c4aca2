//! Codecs: how the values of a topic become bytes, and bytes become values again.
//!
//! A codec is a type that implements [`Codec`]; `codec = ...` of `#[goka::stream]` or `#[goka::table]` names it.
//!
//! | codec | bytes | values |
//! |---|---|---|
//! | [`ByType`], the default | text, raw bytes or MessagePack, depending on the type of the value | types with serde's derives |
//! | [`Text`] | UTF-8 text | types with `Display` and `FromStr` |
//! | [`Json`] | JSON | types with serde's derives |
//! | [`MsgPack`] | MessagePack with named fields | types with serde's derives |
//! | [`Raw`] | the bytes themselves | `Vec<u8>` |

// Must not know topics.
//
// Rust has no specialisation. `String` and `u64` are serde types, so they cannot have their own impls beside the impl
// for all serde types. `ByType` compares types instead, and the optimiser resolves the comparisons; otherwise `ByType`
// is an ordinary `Codec<T>`. Which types `ByType` writes as text is part of the data format, so the list of these
// types is closed.

mod nesting;
mod prepare;
mod shown;
mod strict;

use std::{
    any::{Any, TypeId, type_name},
    fmt::Display,
    io::{self, Write},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

pub use self::{
    prepare::{Prepare, Role},
    shown::{Form, Shown},
};
use crate::base::{error::BoxError, excerpt};

/// Encodes and decodes values of type `T`. A codec is a type, not a value: topics name the type, and goka calls its
/// functions.
///
/// The bytes are part of the data format: programs that share a topic must use the same codec. An example of your own
/// codec:
///
/// ```
/// use goka::{BoxError, Codec};
///
/// struct LittleEndian;
/// impl Codec<u32> for LittleEndian {
///     fn encode(value: &u32, out: &mut Vec<u8>) -> Result<(), BoxError> {
///         out.extend_from_slice(&value.to_le_bytes());
///         Ok(())
///     }
///     fn decode(bytes: &[u8]) -> Result<u32, BoxError> {
///         Ok(u32::from_le_bytes(bytes.try_into()?))
///     }
/// }
///
/// #[goka::stream("temperatures", value = u32, codec = LittleEndian)]
/// struct Temperatures;
/// ```
#[diagnostic::on_unimplemented(
    message = "codec `{Self}` cannot encode and decode `{T}`",
    label = "`{Self}` is not a codec for `{T}`",
    note = "`ByType` (the default), `MsgPack` and `Json` take types with serde's derives: mark your type with `#[goka::message]`, or derive `Serialize` and `Deserialize`",
    note = "`Text` takes types with `Display` and `FromStr`, and `Raw` takes `Vec<u8>`; for your own codec, write `impl goka::Codec<{T}> for MyCodec`, and `codec = MyCodec` on the topic"
)]
pub trait Codec<T> {
    /// Appends the bytes of `value` to `out`. From these bytes, [`decode`](Self::decode) must return the same value.
    ///
    /// # Errors
    /// The codec cannot represent the value, or could not decode it again. The handler that writes the value, or the
    /// caller of the emitter, gets the error.
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Decodes the value in `bytes`. An implementation must read `bytes` to their end, and must not panic on any
    /// bytes, because other programs write them.
    ///
    /// # Errors
    /// The bytes are not a value of this type. The policy of the handler for the stage `decode` applies.
    fn decode(bytes: &[u8]) -> Result<T, BoxError>;

    /// Returns the name of the format; by default, the path of the codec's type. Goka stores this name in each local
    /// copy of a table, and if the stored name differs from the current name, goka rebuilds the local copy from the
    /// changelog. So change the name whenever the format of the bytes changes.
    fn name() -> &'static str {
        type_name::<Self>()
    }

    /// Shows the value in `bytes` to people and as JSON: in logs, tools and web pages. The default implementation
    /// shows the bytes as text if they are UTF-8, and otherwise in hexadecimal.
    ///
    /// An implementation must not panic on any bytes, because other programs write them; if the bytes do not decode,
    /// it should show them as bytes. An example, for a codec that decodes to a type with `Serialize`:
    ///
    /// ```
    /// # use goka::{BoxError, Codec, codec::{Form, Shown}};
    /// # struct LittleEndian;
    /// # impl Codec<u32> for LittleEndian {
    /// #     fn encode(_: &u32, _: &mut Vec<u8>) -> Result<(), BoxError> { Ok(()) }
    /// #     fn decode(bytes: &[u8]) -> Result<u32, BoxError> { Ok(u32::from_le_bytes(bytes.try_into()?)) }
    /// fn show(bytes: &[u8]) -> Shown {
    ///     let json = Self::decode(bytes).and_then(|value| Shown::json_of(&value));
    ///     json.unwrap_or_else(|_| Shown::bytes_of(bytes))
    /// }
    /// # }
    /// assert_eq!(LittleEndian::show(&[1, 2, 0, 0]).text(), "513");
    /// ```
    fn show(bytes: &[u8]) -> Shown {
        Shown::bytes_of(bytes)
    }

    /// Prepares the codec for a topic before the program reads or writes the topic. The default implementation does
    /// nothing.
    ///
    /// A processor calls this function once for each edge when its [`App`](crate::App) starts; an
    /// [`Emitter`](crate::Emitter) and a [`View`](crate::View) call it once when they are made. The function may
    /// block, for example to query a schema registry.
    ///
    /// # Errors
    /// The reason why the topic cannot be used. The program then does not start, and fails with an error that names
    /// the topic.
    fn prepare(_: &Prepare<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The default codec: [`Text`] for `String`, numbers and `bool`, [`Raw`] for `Vec<u8>`, [`MsgPack`] for all other
/// types with serde's derives. To use `ByType` for a type without these derives, write
/// `impl Codec<MyType> for ByType`.
///
/// ```
/// use goka::{Codec, codec::ByType};
///
/// let mut out = Vec::new();
/// ByType::encode(&-7_i64, &mut out)?;
/// assert_eq!(out, b"-7");
/// # Ok::<(), goka::BoxError>(())
/// ```
#[derive(Debug)]
pub struct ByType;

/// Calls `$then!` with the list of all types that have a plain form, grouped by the codec of this form.
macro_rules! each_plain_type {
    ($then:ident) => {
        $then! {
            Text: String bool u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64;
            Raw: Vec<u8>;
        }
    };
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for ByType {
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let any: &dyn Any = value;
        macro_rules! plain {
            ($($codec:ident: $($type:ty)*;)*) => { $($(
                if let Some(value) = any.downcast_ref::<$type>() {
                    return $codec::encode(value, out);
                }
            )*)* };
        }
        each_plain_type!(plain);
        MsgPack::encode(value, out)
    }
    fn decode(bytes: &[u8]) -> Result<T, BoxError> {
        let mut decoded: Option<T> = None;
        let any: &mut dyn Any = &mut decoded;
        macro_rules! plain {
            ($($codec:ident: $($type:ty)*;)*) => { $($(
                if let Some(decoded) = any.downcast_mut::<Option<$type>>() {
                    *decoded = Some($codec::decode(bytes)?);
                }
            )*)* };
        }
        each_plain_type!(plain);
        match decoded {
            Some(value) => Ok(value),
            None => MsgPack::decode(bytes),
        }
    }
    fn name() -> &'static str {
        macro_rules! plain {
            ($($codec:ident: $($type:ty)*;)*) => { $($(
                if TypeId::of::<T>() == TypeId::of::<$type>() {
                    return <$codec as Codec<$type>>::name();
                }
            )*)* };
        }
        each_plain_type!(plain);
        <MsgPack as Codec<T>>::name()
    }
    fn show(bytes: &[u8]) -> Shown {
        macro_rules! plain {
            ($($codec:ident: $($type:ty)*;)*) => { $($(
                if TypeId::of::<T>() == TypeId::of::<$type>() {
                    return show_plain::<$codec, $type>(bytes);
                }
            )*)* };
        }
        each_plain_type!(plain);
        <MsgPack as Codec<T>>::show(bytes)
    }
}

/// Shows numbers and `bool` as JSON, and all other values as their codec shows them.
fn show_plain<C: Codec<T>, T: Serialize + 'static>(bytes: &[u8]) -> Shown {
    let is_text = [TypeId::of::<String>(), TypeId::of::<Vec<u8>>()].contains(&TypeId::of::<T>());
    let number = (!is_text).then(|| Shown::json_of(&C::decode(bytes).ok()?).ok());
    match number.flatten() {
        // `null` means that JSON has no such number.
        Some(json) if json.text() != "null" => json,
        Some(_) | None => C::show(bytes),
    }
}

/// UTF-8 text, for types with `Display` and `FromStr`. Integers have the same bytes as with `codec.Int64` of Goka for
/// Go.
#[derive(Debug)]
pub struct Text;

impl<T: Display + FromStr<Err: Into<BoxError>>> Codec<T> for Text {
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(write!(out, "{value}")?)
    }
    fn decode(bytes: &[u8]) -> Result<T, BoxError> {
        std::str::from_utf8(bytes)?.parse().map_err(Into::into)
    }
    fn name() -> &'static str {
        "text"
    }
    fn show(bytes: &[u8]) -> Shown {
        match std::str::from_utf8(bytes) {
            Ok(text) => Shown::text_of(text),
            Err(_) => Shown::hex_of(bytes),
        }
    }
}

/// The bytes themselves: values of type `Vec<u8>`.
#[derive(Debug)]
pub struct Raw;

impl Codec<Vec<u8>> for Raw {
    fn encode(value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(value);
        Ok(())
    }
    fn decode(bytes: &[u8]) -> Result<Vec<u8>, BoxError> {
        Ok(bytes.to_vec())
    }
    fn name() -> &'static str {
        "raw"
    }
}

/// MessagePack with the names of fields, so that fields can be added to a type and removed from it. A field that is
/// added needs `#[serde(default)]` or must be an `Option`, because existing records lack the field.
///
/// All bytes must be part of the value: bytes that are left over are an error of the decoder. Lists and maps can be
/// nested up to 128 levels deep.
///
/// `Some(None)` is an error of the encoder, because it would be decoded as `None`.
///
/// ```
/// use goka::{Codec, codec::MsgPack};
///
/// // Most bytes begin with some MessagePack value, so all of them must be part of it.
/// assert!(<MsgPack as Codec<u64>>::decode(b"12345").is_err());
/// ```
#[derive(Debug)]
pub struct MsgPack;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Codec<T> for MsgPack {
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let before = out.len();
        let mut named = rmp_serde::Serializer::new(&mut *out).with_struct_map();
        strict::serialize::<_, false>(value, &mut named).map_err(with_cure)?;
        // Checked, so that everything that is written can be read again.
        Ok(nesting::check(&out[before..])?)
    }
    fn decode(bytes: &[u8]) -> Result<T, BoxError> {
        nesting::check(bytes)?;
        let mut rest = rmp_serde::Deserializer::from_read_ref(bytes);
        let value = T::deserialize(&mut rest).map_err(with_cure)?;
        match is_at_end(&mut rest) {
            true => Ok(value),
            false => Err("the value has more bytes than MessagePack of this type; check whether the topic is written with another codec".into()),
        }
    }
    fn name() -> &'static str {
        "msgpack"
    }
    fn show(bytes: &[u8]) -> Shown {
        if nesting::check(bytes).is_err() {
            return Shown::hex_of(bytes);
        }
        let mut rest = rmp_serde::Deserializer::from_read_ref(bytes);
        match Shown::transcoded(&mut rest) {
            Ok(shown) if is_at_end(&mut rest) => shown,
            Ok(_) | Err(_) => Shown::bytes_of(bytes),
        }
    }
}

/// JSON text. A field that is added needs `#[serde(default)]` or must be an `Option`, because existing records lack
/// the field.
///
/// The encoder refuses values that JSON does not have, or that could not be decoded again: NaN, infinities,
/// `Some(None)`, maps whose keys are lists or maps, and lists and objects nested more than 127 levels deep.
/// [`MsgPack`] supports NaN and infinities.
///
/// ```
/// use goka::{Codec, codec::Json};
///
/// assert!(Json::encode(&f64::NAN, &mut Vec::new()).is_err());
/// ```
#[derive(Debug)]
pub struct Json;

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let mut json = serde_json::Serializer::with_formatter(out, NestedJson { depth: 0 });
        Ok(strict::serialize::<_, true>(value, &mut json)?)
    }
    fn decode(bytes: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes).map_err(with_cure)?)
    }
    fn name() -> &'static str {
        "json"
    }
    fn show(bytes: &[u8]) -> Shown {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        match Shown::transcoded(&mut json) {
            Ok(shown) if json.end().is_ok() => shown,
            Ok(_) | Err(_) => Shown::bytes_of(bytes),
        }
    }
}

/// Formatter of compact JSON. It refuses JSON that is nested more deeply than serde_json can read.
struct NestedJson {
    depth: usize,
}

impl NestedJson {
    fn begin(&mut self, out: &mut (impl Write + ?Sized), byte: &[u8]) -> io::Result<()> {
        self.depth += 1;
        match self.depth > nesting::JSON_DEPTH_MAX {
            true => Err(io::Error::other(nesting::JSON_TOO_DEEP)),
            false => out.write_all(byte),
        }
    }
    fn end(&mut self, out: &mut (impl Write + ?Sized), byte: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(byte)
    }
}

impl serde_json::ser::Formatter for NestedJson {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }
    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }
    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }
    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }
}

/// Whether the deserializer has read all bytes: if so, reading one more value fails at its first byte. The
/// deserializer that is used here does not say how many bytes are left; another deserializer of rmp-serde does, but
/// would copy each string.
fn is_at_end<'de>(rest: impl Deserializer<'de, Error = rmp_serde::decode::Error>) -> bool {
    use rmp_serde::decode::Error;
    matches!(<()>::deserialize(rest), Err(Error::InvalidMarkerRead(_)))
}

/// Returns the text of an error of serde, cut to a bounded length, because the text may repeat a value. If a field is
/// missing, the text also says how to fix this.
fn with_cure(error: impl std::error::Error) -> String {
    let text = excerpt::text(error.to_string());
    match text.contains("missing field") {
        true => format!(
            "{text}; if the field was added after the record was written, mark the field with `#[serde(default)]`, or make its type an `Option`"
        ),
        false => text,
    }
}
