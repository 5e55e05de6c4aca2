//! Golden bytes of the data format, which other programs on Kafka also read and write. If a test in this file fails,
//! goka can no longer read existing tables and topics; do not change the vectors.
//!
//! How the vectors were made:
//! - `PARTITIONS`, first list: Apache Kafka 4.1.1 (kafka-clients, Java 17),
//!   `BuiltInPartitioner.partitionForKey(key, n)`, which is `Utils.murmur2`;
//! - second list: Go 1.26, github.com/lovoo/goka v1.1.16 with github.com/IBM/sarama v1.46.3,
//!   `sarama.NewCustomHashPartitioner(goka.DefaultHasher())("topic").Partition(message, n)`;
//! - third list: Python 3, `zlib.crc32(key) % n`, which is librdkafka's `consistent`; a test in `kafka/tests` asks
//!   librdkafka itself;
//! - `GO_STRING` and `GO_INT64`: the same Go program, `codec.String` and `codec.Int64`;
//! - MessagePack and JSON: by hand from their specifications.

use std::{collections::BTreeMap, fmt::Debug};

use goka::{
    Codec, Key, Partitioner,
    codec::{ByType, Json, MsgPack, Raw, Text},
};
use serde::{Serialize, de::DeserializeOwned};

/// The number of partitions in each list of `PARTITIONS`.
const COUNTS: [i32; 6] = [1, 3, 4, 12, 100, 1000];

/// A key, and its partitions by each of three partitioners. Each list has one partition for each number of partitions
/// in `COUNTS`.
type Placed = (&'static [u8], [i32; 6], [i32; 6], [i32; 6]);

/// The partitions of each key by `murmur2`, by `fnv1a` and by `crc32`.
#[rustfmt::skip]
const PARTITIONS: &[Placed] = &[
    (b"", [0, 0, 1, 9, 81, 681], [0, 0, 3, 3, 35, 35], [0, 0, 0, 0, 0, 0]),
    (b"a", [0, 1, 0, 4, 24, 524], [0, 0, 0, 0, 76, 76], [0, 0, 3, 3, 7, 907]),
    (b"ab", [0, 2, 2, 2, 34, 434], [0, 0, 2, 6, 46, 946], [0, 2, 1, 5, 85, 885]),
    (b"abc", [0, 0, 3, 3, 7, 107], [0, 2, 3, 11, 31, 331], [0, 0, 2, 6, 78, 578]),
    (b"abcd", [0, 2, 0, 8, 0, 100], [0, 0, 3, 3, 63, 763], [0, 1, 1, 1, 69, 369]),
    (b"alice", [0, 0, 1, 9, 49, 749], [0, 2, 1, 5, 17, 817], [0, 2, 3, 11, 35, 735]),
    (b"bob", [0, 0, 2, 6, 58, 958], [0, 2, 0, 8, 52, 52], [0, 2, 0, 8, 4, 104]),
    (b"user-1", [0, 2, 0, 8, 28, 828], [0, 0, 0, 0, 96, 796], [0, 2, 0, 8, 24, 524]),
    (b"user-12", [0, 0, 2, 6, 30, 230], [0, 2, 2, 2, 26, 826], [0, 0, 2, 6, 78, 78]),
    (b"user-123", [0, 2, 0, 8, 68, 668], [0, 2, 1, 5, 93, 893], [0, 0, 2, 6, 50, 950]),
    (b"user-1234", [0, 1, 0, 4, 44, 444], [0, 0, 3, 3, 71, 171], [0, 0, 1, 9, 33, 333]),
    (b"12345", [0, 2, 0, 8, 44, 44], [0, 0, 0, 0, 24, 824], [0, 0, 0, 0, 44, 44]),
    (b"-7", [0, 2, 3, 11, 11, 211], [0, 2, 1, 5, 17, 517], [0, 2, 3, 11, 83, 383]),
    ("grüße".as_bytes(), [0, 2, 0, 8, 48, 148], [0, 0, 0, 0, 44, 344], [0, 1, 1, 1, 17, 117]),
    ("日本語".as_bytes(), [0, 1, 2, 10, 70, 170], [0, 1, 1, 1, 45, 945], [0, 1, 1, 1, 5, 405]),
    (b"\0", [0, 2, 0, 8, 88, 588], [0, 0, 3, 3, 51, 351], [0, 1, 1, 1, 57, 757]),
    (b"\xff\xfe", [0, 0, 3, 3, 51, 651], [0, 1, 0, 4, 0, 400], [0, 0, 2, 6, 42, 742]),
    (b"the quick brown fox jumps over the lazy dog", [0, 1, 0, 4, 68, 968], [0, 2, 0, 8, 24, 24], [0, 1, 0, 4, 84, 684]),
    (b"key-00000000000000000000000000000000000000000000", [0, 0, 0, 0, 4, 204], [0, 0, 3, 3, 63, 763], [0, 1, 2, 10, 2, 802]),
];

#[test]
fn partitions_are_those_of_kafka_of_go_goka_and_of_librdkafka() {
    for (key, murmur2, fnv1a, crc32) in PARTITIONS {
        let by = |partitioner: Partitioner| COUNTS.map(|count| partitioner.partition(key, count));
        assert_eq!(by(Partitioner::Murmur2), *murmur2, "murmur2 of {key:?}");
        assert_eq!(by(Partitioner::Fnv1a), *fnv1a, "fnv1a of {key:?}");
        assert_eq!(by(Partitioner::Crc32), *crc32, "crc32 of {key:?}");
    }
}

#[test]
fn the_attributes_know_the_partitioners() {
    use goka::Processor;

    #[goka::stream("from-python", value = String, partitioner = crc32)]
    struct FromPython;
    #[goka::table(value = i64, partitioner = crc32)]
    struct Counts;
    #[goka::stream("from-go", value = String, partitioner = fnv1a)]
    struct FromGo;
    #[goka::processor(group = "counts", input = FromPython, table = Counts, output = FromGo)]
    fn count(ctx: &mut count::Context) -> goka::Result {
        ctx.delete()
    }
    let partitioners = count::Processor::GRAPH
        .iter()
        .map(|edge| edge.topic.partitioner);
    let expected = [Partitioner::Crc32, Partitioner::Crc32, Partitioner::Fnv1a];
    assert_eq!(partitioners.collect::<Vec<_>>(), expected);
}

const GO_STRING: &[(&str, &[u8])] = &[
    ("", b""),
    ("alice", b"alice"),
    ("grüße", b"gr\xc3\xbc\xc3\x9fe"),
    ("日本語", b"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"),
];

const GO_INT64: &[(i64, &[u8])] = &[
    (0, b"0"),
    (1, b"1"),
    (-1, b"-1"),
    (42, b"42"),
    (1_000_000, b"1000000"),
    (i64::MAX, b"9223372036854775807"),
    (i64::MIN, b"-9223372036854775808"),
];

#[test]
fn strings_and_numbers_are_those_of_go_goka() {
    for (value, bytes) in GO_STRING {
        fixed::<ByType, _>(&(*value).to_owned(), bytes);
        fixed::<Text, _>(&(*value).to_owned(), bytes);
        fixed_key(&(*value).to_owned(), bytes);
    }
    for (value, bytes) in GO_INT64 {
        fixed::<ByType, _>(value, bytes);
        fixed::<Text, _>(value, bytes);
        fixed_key(value, bytes);
    }
    // Go's `strconv.ParseInt` accepts the following two texts as well.
    let lenient = |text: &[u8]| <Text as Codec<i64>>::decode(text).ok();
    assert_eq!(lenient(b"+1"), Some(1));
    assert_eq!(lenient(b"007"), Some(7));
    for refused in ["", "1.0", " 1", "1_000", "9223372036854775808"] {
        assert_eq!(lenient(refused.as_bytes()), None, "{refused}");
    }
}

/// `ByType` writes the types in a fixed list as text or raw bytes.
#[test]
fn what_is_text_stays_text() {
    fixed::<ByType, _>(&true, b"true");
    fixed::<ByType, _>(&false, b"false");
    fixed::<ByType, _>(&u8::MAX, b"255");
    fixed::<ByType, _>(&u16::MAX, b"65535");
    fixed::<ByType, _>(&u32::MAX, b"4294967295");
    fixed::<ByType, _>(&u64::MAX, b"18446744073709551615");
    fixed::<ByType, _>(&u128::MAX, b"340282366920938463463374607431768211455");
    fixed::<ByType, _>(&7_usize, b"7");
    fixed::<ByType, _>(&i8::MIN, b"-128");
    fixed::<ByType, _>(&i16::MIN, b"-32768");
    fixed::<ByType, _>(&i32::MIN, b"-2147483648");
    fixed::<ByType, _>(&i128::MIN, b"-170141183460469231731687303715884105728");
    fixed::<ByType, _>(&-7_isize, b"-7");
    fixed::<ByType, _>(&0.1_f32, b"0.1");
    fixed::<ByType, _>(&-1.5_f64, b"-1.5");
    fixed::<ByType, _>(&1e21_f64, b"1000000000000000000000");
    fixed::<ByType, _>(&f64::INFINITY, b"inf");
    fixed::<ByType, _>(&vec![0_u8, 255], b"\x00\xff");
    fixed::<Raw, _>(&vec![0_u8, 255], b"\x00\xff");
    // `ByType` writes all other types as MessagePack, including `char`.
    fixed::<ByType, _>(&'a', b"\xa1a");
    fixed::<ByType, _>(&vec![1_u16, 2], b"\x92\x01\x02");
    fixed::<ByType, _>(&Some(7_u64), b"\x07");
    fixed::<ByType, _>(&None::<u64>, b"\xc0");
}

#[goka::message]
#[derive(Debug, PartialEq)]
struct Visit {
    page: String,
    seconds: u32,
    previous: Option<String>,
    tags: BTreeMap<String, bool>,
    kind: Kind,
}

#[goka::message]
#[derive(Debug, PartialEq)]
enum Kind {
    Direct,
    Ad { id: u64 },
    Link(String),
}

fn visit() -> Visit {
    Visit {
        page: "/".to_owned(),
        seconds: 300,
        previous: None,
        tags: BTreeMap::from([("new".to_owned(), true)]),
        kind: Kind::Ad { id: 7 },
    }
}

#[test]
fn structs_are_messagepack_with_named_fields() {
    let bytes = [
        b"\x85".as_slice(),
        b"\xa4page\xa1/",
        b"\xa7seconds\xcd\x01\x2c",
        b"\xa8previous\xc0",
        b"\xa4tags\x81\xa3new\xc3",
        b"\xa4kind\x81\xa2Ad\x81\xa2id\x07",
    ]
    .concat();
    fixed::<ByType, _>(&visit(), &bytes);
    fixed::<MsgPack, _>(&visit(), &bytes);
    fixed::<ByType, _>(&Kind::Direct, b"\xa6Direct");
    fixed::<ByType, _>(&Kind::Link("a".to_owned()), b"\x81\xa4Link\xa1a");
    fixed::<MsgPack, _>(&-7_i64, b"\xf9");
}

#[test]
fn json_is_compact_and_in_the_order_of_fields() {
    let text =
        br#"{"page":"/","seconds":300,"previous":null,"tags":{"new":true},"kind":{"Ad":{"id":7}}}"#;
    fixed::<Json, _>(&visit(), text);
}

#[test]
fn foreign_bytes_are_refused() {
    #[goka::message]
    #[derive(Debug)]
    struct Count(u64);

    // The text of this number begins with the byte 0x31, which is a whole MessagePack number (49).
    let foreign = <ByType as Codec<Count>>::decode(b"12345").expect_err("text");
    assert!(
        foreign
            .to_string()
            .contains("the value has more bytes than MessagePack"),
        "{foreign}"
    );
    // The bytes that are left over after the first value may be an incomplete value.
    assert!(<ByType as Codec<Count>>::decode(b"\x07\x91").is_err());
    assert!(<ByType as Codec<Count>>::decode(b"\x07\xcd").is_err());
    assert!(<ByType as Codec<Count>>::decode(b"").is_err());
    assert!(<ByType as Codec<()>>::decode(b"\xc0\xc0").is_err());
    assert!(<ByType as Codec<Option<u8>>>::decode(b"\x07\x07").is_err());
    assert!(<Json as Codec<Count>>::decode(b"1 2").is_err());
    assert!(<Text as Codec<String>>::decode(b"\xff").is_err());
}

#[test]
fn a_new_field_needs_a_default() {
    #[goka::message]
    #[derive(Debug)]
    struct Old {
        page: String,
    }
    #[goka::message]
    #[derive(Debug)]
    struct New {
        page: String,
        seconds: u32,
    }
    #[goka::message]
    #[derive(Debug)]
    struct Better {
        page: String,
        #[serde(default)]
        seconds: u32,
        previous: Option<String>,
    }
    fn becomes<C: Codec<Old> + Codec<New> + Codec<Better>>() {
        let page = "/".to_owned();
        let bytes = encoded::<C, _>(&Old { page });
        let error = <C as Codec<New>>::decode(&bytes).expect_err("`seconds` is missing");
        assert!(error.to_string().contains("#[serde(default)]"), "{error}");
        let better = <C as Codec<Better>>::decode(&bytes).expect("defaults");
        assert_eq!((better.page.as_str(), better.seconds), ("/", 0));
        assert_eq!(better.previous, None);
        // A field that the type no longer has is ignored.
        let old = <C as Codec<Old>>::decode(&encoded::<C, _>(&better))
            .expect("the bytes must decode as a page");
        assert_eq!(old.page, "/");
        let new = New {
            page: old.page,
            seconds: 1,
        };
        let better = <C as Codec<Better>>::decode(&encoded::<C, _>(&new)).expect("both");
        assert_eq!((new.page, new.seconds), (better.page, better.seconds));
    }
    becomes::<ByType>();
    becomes::<MsgPack>();
    becomes::<Json>();
}

/// The headers of local copies contain these names. If the name of a codec changes, goka discards the copies.
#[test]
fn codecs_have_names() {
    assert_eq!(<ByType as Codec<i64>>::name(), "text");
    assert_eq!(<ByType as Codec<String>>::name(), "text");
    assert_eq!(<ByType as Codec<Vec<u8>>>::name(), "raw");
    assert_eq!(<ByType as Codec<Vec<u16>>>::name(), "msgpack");
    assert_eq!(<ByType as Codec<Visit>>::name(), "msgpack");
    assert_eq!(<Json as Codec<Visit>>::name(), "json");
    assert_eq!(<Text as Codec<i64>>::name(), "text");
}

#[test]
fn keys_are_text_or_raw() {
    fixed_key(&vec![0_u8, 255], b"\x00\xff");
    fixed_key(&u64::MAX, b"18446744073709551615");
    fixed_key(&i128::MIN, b"-170141183460469231731687303715884105728");
    fixed_key(&(), b"");
}

fn encoded<C: Codec<T>, T>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    C::encode(value, &mut bytes).expect("the codec can encode the value");
    bytes
}

fn fixed<C: Codec<T>, T: Debug + PartialEq + Serialize + DeserializeOwned>(
    value: &T,
    bytes: &[u8],
) {
    assert_eq!(encoded::<C, T>(value), bytes, "the bytes of {value:?}");
    assert_eq!(&C::decode(bytes).expect("the encoded bytes decode"), value);
}

fn fixed_key<K: Key + Debug>(key: &K, bytes: &[u8]) {
    let mut encoded = Vec::new();
    K::encode(key.as_ref(), &mut encoded);
    assert_eq!(encoded, bytes, "the bytes of {key:?}");
    assert_eq!(&K::decode(bytes).expect("the encoded bytes decode"), key);
}
