//! The error of a value that did not decode: which codec failed, and what the bytes look like. Must not be made for a
//! record that decodes.

use std::{error, fmt};

use crate::base::error::BoxError;

/// The error of a codec, with the name of the codec.
#[derive(Debug)]
pub(crate) struct Undecoded {
    codec: &'static str,
    looks_like_json: bool,
    source: BoxError,
}

impl Undecoded {
    pub(crate) fn new(codec: &'static str, bytes: &[u8], source: BoxError) -> Self {
        let first = bytes.trim_ascii_start().first();
        Undecoded {
            codec,
            // As MessagePack, these bytes are the numbers 123 and 91, and the bytes of a struct begin with neither.
            looks_like_json: codec == "msgpack" && matches!(first, Some(b'{' | b'[')),
            source,
        }
    }
}

impl fmt::Display for Undecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, codec) = (self.source.to_string(), self.codec);
        write!(f, "{} (codec `{codec}`)", source.trim_end())?;
        if self.looks_like_json {
            f.write_str("; the value looks like JSON: write `codec = Json` in the attribute of the stream or table")?;
        }
        Ok(())
    }
}

impl error::Error for Undecoded {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::codec::{ByType, Codec};

    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    struct Order {
        product: u32,
    }

    fn said<T>(bytes: &[u8]) -> String
    where
        ByType: Codec<T>,
    {
        let decoded = <ByType as Codec<T>>::decode(bytes).map(drop);
        let source = decoded.expect_err("these bytes do not decode");
        Undecoded::new(<ByType as Codec<T>>::name(), bytes, source).to_string()
    }

    #[test]
    fn the_codec_is_named() {
        assert_eq!(
            said::<u64>(b"x"),
            "invalid digit found in string (codec `text`)"
        );
        assert!(said::<Order>(b"\x93\x01").ends_with("(codec `msgpack`)"));
    }

    #[test]
    fn json_that_is_read_as_messagepack_is_told_apart() {
        for json in [&b"{\"product\": 7}"[..], b" [7]"] {
            let said = said::<Order>(json);
            assert!(said.contains("`codec = Json`"), "{said}");
        }
        // The codec of a `u64` is text, for which no hint at JSON is given.
        assert!(!said::<u64>(b"{}").contains("Json"));
    }
}
