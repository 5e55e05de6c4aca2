//! Fuzzing of codecs, keys and headers of dead letters. A decoded value is encoded and decoded again, and must not
//! change.

use std::{collections::BTreeMap, fmt::Debug, thread};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::fuzz;
use crate::{
    base::{
        dead_letter::DeadLetter,
        record::{Headers, OwnedHeaders},
    },
    typed::{
        codec::{ByType, Codec, Json, MsgPack},
        key::{Key, of_record},
    },
};

/// Bytes that may be allocated for error texts and a few fields.
const SMALL: u64 = 8 << 10;

/// Bytes that may be allocated for an untagged enum, which creates an error text at each of up to 128 levels of
/// nesting.
const UNTAGGED: u64 = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    age: Option<u8>,
    score: f64,
    tags: Vec<String>,
    seen: BTreeMap<String, Vec<u64>>,
    #[serde(default)]
    pair: (i16, char),
    kind: Kind,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Plain,
    Numbered(u32),
    Named {
        name: String,
    },
}

/// serde buffers the content of this enum and of the next enum before it knows the variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Sum { amounts: Vec<i64> },
    Note { text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
    Fields(BTreeMap<String, Any>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Linked {
    value: u8,
    next: Option<Box<Linked>>,
}

/// rmp-serde does not count an enum as a level of nesting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Term {
    Number(i64),
    Not(Box<Term>),
    Both(Box<Term>, Box<Term>),
    In { term: Box<Term> },
}

fn encoded<C: Codec<T>, T>(values: &[T]) -> Vec<Vec<u8>> {
    let encode = |value| {
        let mut bytes = Vec::new();
        C::encode(value, &mut bytes).expect("the value can be encoded");
        bytes
    };
    values.iter().map(encode).collect()
}

fn codec<C: Codec<T>, T: Debug>(what: &str, valid: &[T], constant: u64) {
    // Four times `constant`, because the value is also encoded, as about as many bytes as the input has, and decoded
    // again.
    fuzz(what, &encoded::<C, T>(valid), 4 * constant, |bytes| {
        let Ok(value) = C::decode(bytes) else { return };
        let again = encoded::<C, T>(&[value]);
        let value = C::decode(&again[0]).expect("encoded bytes decode");
        assert_eq!(encoded::<C, T>(&[value]), again);
    });
}

fn both<T: Serialize + DeserializeOwned + Debug + 'static>(what: &str, valid: &[T], constant: u64) {
    codec::<ByType, T>(&format!("{what} as MessagePack"), valid, constant);
    codec::<Json, T>(&format!("{what} as JSON"), valid, constant);
}

fn profiles() -> [Profile; 2] {
    let seen = [
        ("home".to_owned(), vec![1, 70_000]),
        (String::new(), vec![]),
    ];
    let profile = Profile {
        name: "grüße".to_owned(),
        age: Some(200),
        score: -0.5,
        tags: vec!["a".repeat(40), "b".to_owned()],
        seen: seen.into(),
        pair: (-300, 'ß'),
        kind: Kind::Named {
            name: "x".to_owned(),
        },
    };
    let other = Profile {
        kind: Kind::Numbered(7),
        ..Profile::default()
    };
    [profile, other]
}

fn tree(depth: usize) -> Tree {
    (0..depth).fold(Tree::default(), |tree, _| Tree(vec![tree, Tree::default()]))
}

#[test]
fn plain_values_are_fuzzed() {
    macro_rules! numbers {
        ($($number:ty)*) => { $(
            let valid = [<$number>::MIN, <$number>::MAX, 1 as $number];
            codec::<ByType, $number>(stringify!($number), &valid, SMALL);
        )* };
    }
    numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
    codec::<ByType, bool>("bool", &[true, false], SMALL);
    codec::<ByType, String>("text", &["grüße".to_owned(), String::new()], SMALL);
    codec::<ByType, Vec<u8>>("bytes", &[vec![0, 255], vec![]], SMALL);
    codec::<MsgPack, u64>("u64 as MessagePack", &[0, 300, u64::MAX], SMALL);
    codec::<Json, String>("text as JSON", &["a\n\u{1F600}".to_owned()], SMALL);
}

#[test]
fn messages_are_fuzzed() {
    both("a struct", &profiles(), SMALL);
    let sum = Tagged::Sum {
        amounts: vec![1, -1],
    };
    let note = Tagged::Note {
        text: "x".to_owned(),
    };
    both("a tagged enum", &[sum, note], SMALL);
    let list = Any::List(vec![Any::Number(1), Any::Text("a".to_owned())]);
    let fields = Any::Fields([("a".to_owned(), list.clone())].into());
    both("an untagged enum", &[list, fields], UNTAGGED);
    both("lists of lists", &[vec![vec![1_u64, 2], vec![]]], SMALL);
}

#[test]
fn recursive_messages_are_fuzzed() {
    both("a tree", &[tree(3), tree(30)], SMALL);
    let linked = |value, next| Linked { value, next };
    let two = linked(1, Some(Box::new(linked(2, None))));
    both("a linked list", &[two], SMALL);
    let not = Term::Not(Box::new(Term::Number(7)));
    let inner = Box::new(not.clone());
    let both_of = Term::Both(Box::new(not), Box::new(Term::In { term: inner }));
    both("a recursive enum", &[both_of], SMALL);
}

#[test]
fn keys_are_fuzzed() {
    fn key<K: Key + Debug>(valid: &[&str]) {
        let valid: Vec<_> = valid.iter().map(|key| key.as_bytes().to_vec()).collect();
        fuzz(std::any::type_name::<K>(), &valid, SMALL, |bytes| {
            let _null = of_record::<K>(None, &mut None).is_ok();
            let mut slot = None;
            let borrowed = of_record::<K>(Some(bytes), &mut slot).ok();
            let decoded = K::decode(bytes).ok();
            assert_eq!(borrowed.is_some(), decoded.is_some() && !K::IS_NULL);
            if let Some(key) = decoded {
                let mut again = Vec::new();
                K::encode(key.as_ref(), &mut again);
                assert_eq!(again, bytes, "one key has one encoding");
            }
        });
    }
    key::<String>(&["", "alice", "grüße"]);
    key::<Vec<u8>>(&["", "alice"]);
    key::<()>(&[""]);
    key::<u8>(&["0", "255"]);
    key::<i64>(&["-9223372036854775808", "7"]);
    key::<u128>(&["340282366920938463463374607431768211455"]);
}

#[test]
fn headers_of_dead_letters_are_fuzzed() {
    let valid = [
        "clicks",
        "3",
        "17",
        "1700000000000",
        "group",
        "handler",
        "decode",
        "why",
    ];
    let names = [
        "topic",
        "partition",
        "offset",
        "timestamp",
        "group",
        "handler",
        "stage",
        "error",
    ];
    // Damages one header at a time; all other headers are valid.
    for (damaged, name) in names.iter().enumerate() {
        let seeds = [valid[damaged].as_bytes().to_vec(), b"-1".to_vec()];
        fuzz(&format!("goka-{name}"), &seeds, SMALL, |bytes| {
            let mut headers: OwnedHeaders = vec![("own".to_owned(), None)];
            for (nth, name) in names.iter().enumerate() {
                let value = match nth == damaged {
                    true => bytes,
                    false => valid[nth].as_bytes(),
                };
                headers.push((format!("goka-{name}"), Some(value.to_vec())));
            }
            if let Some(letter) = DeadLetter::of(Headers(Some(&headers))) {
                drop(letter.meta());
            }
        });
    }
}

/// Runs `read` on a thread with the stack size of a worker's thread. This test build uses more stack than a release
/// build.
fn on_a_small_stack(read: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(2 << 20).spawn(read);
    thread.expect("the thread starts").join().expect("no panic");
}

#[test]
fn what_is_nested_too_deeply_is_an_error_and_not_the_end_of_the_process() {
    for byte in [0x91, 0x92, 0xdd] {
        on_a_small_stack(move || {
            let deep = vec![byte; 1 << 20];
            let error =
                <ByType as Codec<Tree>>::decode(&deep).expect_err("the value is nested too deeply");
            let (error, promises) = (error.to_string(), byte == 0xdd);
            assert!(promises || error.contains("128 levels"), "{error}");
        });
    }
    on_a_small_stack(|| {
        let deep = vec![b'['; 1 << 20];
        <Json as Codec<Tree>>::decode(&deep).expect_err("the value is nested too deeply");
        let deep: Vec<u8> = b"{\"value\":1,\"next\":".repeat(1 << 16);
        <Json as Codec<Linked>>::decode(&deep).expect_err("the value is nested too deeply");
        let deep = b"\x82\xa5value\x01\xa4next".repeat(1 << 16);
        <ByType as Codec<Linked>>::decode(&deep).expect_err("the value is nested too deeply");
        <ByType as Codec<Any>>::decode(&[0x91; 1 << 20])
            .expect_err("the value is nested too deeply");
        for deep in [
            &b"\x81\xa3Not"[..],
            b"\x81\xa4Both\x92",
            b"\x81\xa2In\x81\xa4term",
        ] {
            let deep = deep.repeat(1 << 17);
            <ByType as Codec<Term>>::decode(&deep).expect_err("the value is nested too deeply");
        }
        let deep = b"{\"Not\":".repeat(1 << 17);
        <Json as Codec<Term>>::decode(&deep).expect_err("the value is nested too deeply");
    });
}

#[test]
fn what_cannot_be_read_for_its_depth_is_not_written() {
    for depth in 0..200 {
        let term = (0..depth).fold(Term::Number(1), |term, _| Term::Not(Box::new(term)));
        let mut bytes = Vec::new();
        let written = MsgPack::encode(&term, &mut bytes);
        // The limit is 128 levels, of which the number inside the innermost map is one.
        assert_eq!(written.is_ok(), depth < 128, "{depth}");
        let read = <MsgPack as Codec<Term>>::decode(&bytes);
        assert_eq!(read.ok(), written.ok().map(|()| term));
    }
}

#[test]
fn an_error_does_not_repeat_a_megabyte() {
    let text = "x".repeat(1 << 20);
    let json = encoded::<Json, String>(std::slice::from_ref(&text));
    let pack = encoded::<MsgPack, String>(&[text]);
    for error in [
        <Json as Codec<i64>>::decode(&json[0]).expect_err("text is not a number"),
        <MsgPack as Codec<i64>>::decode(&pack[0]).expect_err("text is not a number"),
    ] {
        assert!(
            error.to_string().len() <= 4096,
            "{}",
            error.to_string().len()
        );
    }
}
