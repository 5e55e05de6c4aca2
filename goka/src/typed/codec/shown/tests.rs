//! Tests what each codec shows for bytes that are values, and for bytes that are not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Form, Shown};
use crate::typed::codec::{ByType, Codec, Json, MsgPack, Raw, Text};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    user: String,
    price: f64,
    parts: Vec<Option<i8>>,
    by: BTreeMap<u64, bool>,
}

fn order() -> Order {
    Order {
        id: (1 << 53) + 1,
        user: "anne \"a\"\n\u{1}".to_owned(),
        price: 1.5,
        parts: vec![Some(-3), None],
        by: BTreeMap::from([(u64::MAX, true)]),
    }
}

const ORDER: &str = r#"{"id":"9007199254740993","user":"anne \"a\"\n\u0001","price":1.5,"parts":[-3,null],"by":{"18446744073709551615":true}}"#;

fn encoded<C: Codec<T>, T>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    C::encode(value, &mut bytes).expect("the value can be encoded");
    bytes
}

fn of<C: Codec<T>, T>(value: &T) -> (Form, String) {
    let shown = C::show(&encoded::<C, T>(value));
    assert_eq!(shown.left_out(), 0);
    (shown.form(), shown.text().to_owned())
}

fn json(text: &str) -> (Form, String) {
    (Form::JsonText, text.to_owned())
}

fn text(text: &str) -> (Form, String) {
    (Form::PlainText, text.to_owned())
}

#[test]
fn structures_are_shown_as_json() {
    assert_eq!(of::<MsgPack, _>(&order()), json(ORDER));
    assert_eq!(of::<ByType, _>(&order()), json(ORDER));
    assert_eq!(of::<Json, _>(&order()), json(ORDER));
    let shown = Shown::json_of(&order()).expect("the order can be shown as JSON");
    assert_eq!((shown.form(), shown.text()), (Form::JsonText, ORDER));
    serde_json::from_str::<serde_json::Value>(ORDER).expect("the constant is JSON");
}

#[test]
fn text_is_shown_as_text_and_numbers_as_numbers() {
    assert_eq!(of::<ByType, _>(&"12:00".to_owned()), text("12:00"));
    assert_eq!(of::<ByType, _>(&"17".to_owned()), text("17"));
    assert_eq!(of::<ByType, _>(&-17_i64), json("-17"));
    assert_eq!(
        of::<ByType, _>(&u128::MAX),
        json(&format!("\"{}\"", u128::MAX))
    );
    assert_eq!(of::<ByType, _>(&true), json("true"));
    assert_eq!(of::<ByType, _>(&2.5_f32), json("2.5"));
    assert_eq!(of::<ByType, _>(&f64::NAN), text("NaN"));
    assert_eq!(of::<Text, _>(&17_i64), text("17"));
}

#[test]
fn bytes_are_shown_as_text_where_they_are_text() {
    let raw = |bytes: &[u8]| of::<Raw, _>(&bytes.to_vec());
    assert_eq!(raw(b"two\nlines"), text("two\nlines"));
    assert_eq!(raw(b""), text(""));
    assert_eq!(raw(&[0, 0, 0, 5]), (Form::HexDigits, "00000005".to_owned()));
    assert_eq!(raw(&[0xff, b'a']), (Form::HexDigits, "ff61".to_owned()));
    assert_eq!(
        of::<ByType, _>(&vec![0xff_u8]),
        (Form::HexDigits, "ff".to_owned())
    );
}

#[test]
fn what_is_no_value_is_shown_as_bytes() {
    let shown = <Json as Codec<Order>>::show(b"{\"id\":");
    assert_eq!((shown.form(), shown.text()), (Form::PlainText, "{\"id\":"));
    let shown = <Json as Codec<Order>>::show(b"1 2");
    assert_eq!(shown.form(), Form::PlainText);
    let shown = <MsgPack as Codec<Order>>::show(&[0x81, 0xa1]);
    assert_eq!((shown.form(), shown.text()), (Form::HexDigits, "81a1"));
    let shown = <ByType as Codec<u8>>::show(b"300");
    assert_eq!((shown.form(), shown.text()), (Form::PlainText, "300"));
    // This value is nested too deeply to be decoded.
    let shown = <MsgPack as Codec<Order>>::show(&[0x91; 1_000]);
    assert_eq!(shown.form(), Form::HexDigits);
}

/// Tests values that only other programs write, with keys, bytes and numbers that JSON does not have.
#[test]
fn messagepack_without_a_like_in_json_is_shown() {
    let msgpack = |bytes: &[u8]| <MsgPack as Codec<Order>>::show(bytes).text().to_owned();
    // The keys are nil, a number and a list.
    let keys = [0x83, 0xc0, 1, 5, 2, 0x92, 1, 2, 3];
    assert_eq!(msgpack(&keys), r#"{"null":1,"5":2,"[1,2]":3}"#);
    assert_eq!(msgpack(&[0xc4, 2, 0xab, 0xcd]), r#""abcd""#);
    assert_eq!(msgpack(&[0xca, 0x7f, 0x80, 0, 0]), r#""inf""#);
    // An extension is shown as its number and its bytes.
    assert_eq!(msgpack(&[0xd4, 7, 0xff]), r#"[7,"ff"]"#);
}

#[test]
fn what_is_shown_is_bounded() {
    let long = "\u{e4}".repeat(Shown::BYTES_MAX);
    let shown = Shown::text_of(long.clone());
    assert_eq!(shown.text().len() + shown.left_out(), long.len());
    assert_eq!(shown.text().len(), Shown::BYTES_MAX);
    assert!(shown.to_string().ends_with("... (1048576 more bytes)"));
    let shown = Shown::hex_of(&[7; Shown::BYTES_MAX]);
    assert_eq!(
        (shown.text().len(), shown.left_out()),
        (Shown::BYTES_MAX, Shown::BYTES_MAX / 2)
    );
    let shown = <Json as Codec<String>>::show(format!("\"{long}\"").as_bytes());
    assert_eq!(shown.form(), Form::PlainText);
    assert!(shown.text().len() <= Shown::BYTES_MAX);
    // A list of `null`s is five times as long in JSON as in MessagePack.
    let mut nothing = vec![0xdd, 0, 0x10, 0, 0];
    nothing.resize(nothing.len() + (1 << 20), 0xc0);
    assert_eq!(
        <MsgPack as Codec<Vec<()>>>::show(&nothing).form(),
        Form::HexDigits
    );
    assert!(Shown::json_of(&long).is_err());
    // Each map is the key of the map around it, and each level escapes the text of its key, which doubles the text.
    let levels = 60;
    let mut keys = [vec![0x81; levels], b"\xa1a".to_vec()].concat();
    keys.resize(keys.len() + levels, 1);
    assert_eq!(
        <MsgPack as Codec<Order>>::show(&keys).form(),
        Form::HexDigits
    );
}

proptest! {
    #[test]
    fn anything_is_shown(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let shown = [
            <MsgPack as Codec<Order>>::show(&bytes),
            <Json as Codec<Order>>::show(&bytes),
            <ByType as Codec<Order>>::show(&bytes),
            <ByType as Codec<f64>>::show(&bytes),
            <Text as Codec<u64>>::show(&bytes),
            <Raw as Codec<Vec<u8>>>::show(&bytes),
        ];
        for shown in shown {
            if shown.form() == Form::JsonText {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(shown.text()).is_ok(), "{shown}");
            }
        }
    }
}
