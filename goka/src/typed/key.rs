//! Keys of records: the bytes of a key choose its partition and its row. Must not know topics.

use std::io::Write;

use crate::base::error::BoxError;

/// The key of a Kafka record.
///
/// | type | bytes |
/// |---|---|
/// | `String` | UTF-8 |
/// | integers of 8 to 128 bits | decimal text, as Goka for Go writes integers |
/// | `Vec<u8>` | the bytes themselves |
/// | `()` | Kafka's null key, for groups that store nothing per key |
///
/// The bytes are part of the data format: all programs that share a topic must write the same bytes for a key. A key
/// must have only one encoding, because a second encoding of the same key would be a second row:
/// [`encode`](Key::encode) must write exactly the bytes that [`decode`](Key::decode) accepts. So `+1` and `007` are
/// not integer keys.
///
/// Handlers get keys in borrowed form, for example `&str` for `String`, and pass them on in this form. An example of
/// your own key type:
///
/// ```
/// use goka::{BoxError, Key};
///
/// /// A country, as two letters in upper case.
/// #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
/// struct Country([u8; 2]);
///
/// impl Key for Country {
///     type Ref = Country;
///     fn as_ref(&self) -> &Country {
///         self
///     }
///     fn encode(key: &Country, out: &mut Vec<u8>) {
///         out.extend_from_slice(&key.0);
///     }
///     fn decode(bytes: &[u8]) -> Result<Country, BoxError> {
///         match bytes {
///             [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Country([*a, *b])),
///             _ => Err("a country is two letters in upper case".into()),
///         }
///     }
/// }
///
/// assert!(Country::decode(b"DE").is_ok());
/// assert!(Country::decode(b"de").is_err());
/// assert!(u64::decode(b"007").is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "a key is a `String`, an integer, a `Vec<u8>`, or `()` for records without a key; for another type: `impl goka::Key for {Self}`"
)]
pub trait Key: Clone + Ord + Send + Sync + 'static {
    /// The borrowed form of the key: `str` for `String`, the key type itself for most other types.
    type Ref: ?Sized + 'static;

    /// Whether the type is Kafka's null key: true only for `()`.
    const IS_NULL: bool = false;

    /// Borrows the key.
    fn as_ref(&self) -> &Self::Ref;

    /// Appends the bytes of the key to `out`.
    fn encode(key: &Self::Ref, out: &mut Vec<u8>);

    /// Decodes a key from all of `bytes`. An implementation must not panic on any bytes, because other programs write
    /// them.
    ///
    /// # Errors
    /// The bytes are not what [`encode`](Key::encode) writes for any key.
    fn decode(bytes: &[u8]) -> Result<Self, BoxError>;

    /// Borrows a key from `bytes`, for the call of a handler. A type whose bytes are the key itself, such as `String`,
    /// returns a reference to the bytes, without copying them. Other types decode the key into `slot` and return a
    /// reference to it; the default implementation does this.
    ///
    /// # Errors
    /// The errors of [`decode`](Key::decode).
    fn borrow<'a>(bytes: &'a [u8], slot: &'a mut Option<Self>) -> Result<&'a Self::Ref, BoxError> {
        Ok(slot.insert(Self::decode(bytes)?).as_ref())
    }
}

/// The bytes are UTF-8.
impl Key for String {
    type Ref = str;
    fn as_ref(&self) -> &str {
        self
    }
    fn encode(key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }
    fn decode(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
    fn borrow<'a>(bytes: &'a [u8], _: &'a mut Option<Self>) -> Result<&'a str, BoxError> {
        Ok(std::str::from_utf8(bytes)?)
    }
}

/// The bytes are the elements of the vector.
impl Key for Vec<u8> {
    type Ref = [u8];
    fn as_ref(&self) -> &[u8] {
        self
    }
    fn encode(key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(key);
    }
    fn decode(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(bytes.to_vec())
    }
    fn borrow<'a>(bytes: &'a [u8], _: &'a mut Option<Self>) -> Result<&'a [u8], BoxError> {
        Ok(bytes)
    }
}

/// Kafka's null key, for groups that store nothing per key. Such a group has no table, join or loopback.
impl Key for () {
    type Ref = ();
    const IS_NULL: bool = true;
    fn as_ref(&self) -> &() {
        self
    }
    fn encode((): &(), _: &mut Vec<u8>) {}
    fn decode(bytes: &[u8]) -> Result<Self, BoxError> {
        match bytes {
            [] => Ok(()),
            _ => Err("`()` has no bytes".into()),
        }
    }
}

macro_rules! decimal {
    ($($integer:ty)*) => { $(
        /// The bytes are decimal text, without `+` and without leading zeros.
        impl Key for $integer {
            type Ref = Self;
            fn as_ref(&self) -> &Self {
                self
            }
            fn encode(key: &Self, out: &mut Vec<u8>) {
                write!(out, "{key}").expect("writing to a Vec never fails");
            }
            fn decode(bytes: &[u8]) -> Result<Self, BoxError> {
                let text = std::str::from_utf8(bytes)?;
                let number = text.parse()?;
                match is_canonical(bytes) {
                    true => Ok(number),
                    false => Err(format!("`{text}` is another spelling of the number {number}; as keys, the two spellings would have two rows").into()),
                }
            }
        }
    )* };
}
decimal! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 }

/// Whether `number` is exactly the text that `Display` writes for this number.
fn is_canonical(number: &[u8]) -> bool {
    match number {
        b"0" => true,
        [b'-', digits @ ..] | digits => matches!(digits, [b'1'..=b'9', ..]),
    }
}

/// Decodes the key of a record.
pub(crate) fn of_record<'a, K: Key>(
    bytes: Option<&'a [u8]>,
    slot: &'a mut Option<K>,
) -> Result<&'a K::Ref, BoxError> {
    match (bytes, K::IS_NULL) {
        (Some(bytes), false) => K::borrow(bytes, slot),
        (None, true) => K::borrow(&[], slot),
        (None, false) => Err("the key is null; give the record a key, or write `key = ()` if the group has neither a table nor a loop".into()),
        (Some(_), true) => Err("the key is not null; name its type with `key = ...` instead of `key = ()`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<K: Key + std::fmt::Debug>(key: K, bytes: &[u8]) {
        let mut encoded = Vec::new();
        K::encode(key.as_ref(), &mut encoded);
        assert_eq!(encoded, bytes);
        assert_eq!(K::decode(bytes).expect("the encoded bytes decode"), key);
    }

    #[test]
    fn keys_are_text_or_raw() {
        round("grüße".to_owned(), "grüße".as_bytes());
        round(String::new(), b"");
        round(vec![0, 255], &[0, 255]);
        round(0_u8, b"0");
        round(i64::MIN, b"-9223372036854775808");
        round(u128::MAX, b"340282366920938463463374607431768211455");
    }

    #[test]
    fn a_number_has_one_text() {
        for other in [
            "+1", "007", "-0", "00", "", "-", " 1", "1 ", "1.0", "256", "-1",
        ] {
            assert!(u8::decode(other.as_bytes()).is_err(), "{other}");
        }
        assert!(i8::decode(b"-007").is_err());
        assert!(String::decode(&[255]).is_err());
    }

    #[test]
    fn null_is_the_key_of_unit_alone() {
        assert!(of_record::<()>(None, &mut None).is_ok());
        assert!(of_record::<()>(Some(b""), &mut None).is_err());
        let error = of_record::<String>(None, &mut None).expect_err("null");
        assert!(error.to_string().contains("key = ()"), "{error}");
    }

    #[test]
    fn bytes_that_are_the_key_are_not_copied() {
        let bytes = b"alice".as_slice();
        let (mut slot, mut raw) = (None, None);
        let text = of_record::<String>(Some(bytes), &mut slot).expect("UTF-8");
        assert_eq!(text.as_ptr(), bytes.as_ptr());
        let key = of_record::<Vec<u8>>(Some(bytes), &mut raw).expect("raw");
        assert_eq!(key.as_ptr(), bytes.as_ptr());
    }
}
