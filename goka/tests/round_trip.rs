//! Tests that decoding an encoded value yields an equal value, and that a codec refuses to encode a value that it could
//! not decode again. The values are random, and have types that formats treat in odd ways.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use goka::{
    Codec,
    codec::{ByType, Json, MsgPack, Raw, Text},
};
use proptest::{num, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unit;
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Empty {}
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NoFields();
/// serde writes a `Chain` exactly as it would write the field.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: Option<f32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Name {
    One,
    Two,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Nothing,
    Sum { sum: f64, of: Option<Vec<u64>> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, Option<f64>>,
}

/// All kinds of types that serde knows, nested in each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Odd {
    Nothing,
    Float(f64),
    Small(f32),
    Large(i128),
    Larger(u128),
    Character(char),
    Text(String),
    Unit(Unit),
    Empty(Empty),
    NoFields(NoFields),
    Null(()),
    MaybeUnit(Option<Unit>),
    MaybeEmpty(Option<Empty>),
    MaybeNull(Option<()>),
    Nested(Option<Option<Box<Odd>>>),
    Chain(Chain),
    Transparent(Option<Transparent>),
    Tagged(Tagged),
    Flat(Flat),
    Pair(Box<Odd>, Box<Odd>),
    Fields { one: Box<Odd>, more: Vec<Odd> },
    ByNumber(BTreeMap<i64, Odd>),
    ByLarge(BTreeMap<u128, Odd>),
    ByBool(BTreeMap<bool, Odd>),
    ByCharacter(BTreeMap<char, Odd>),
    ByName(BTreeMap<Name, Odd>),
    ByMaybe(BTreeMap<Option<u8>, Odd>),
    ByPair(BTreeMap<(u8, bool), Odd>),
    ByList(BTreeMap<Vec<u8>, Odd>),
    Bytes([u8; 20]),
    Address(IpAddr),
    Took(Duration),
    At(SystemTime),
}

fn chain(length: u8) -> Chain {
    (0..length).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))))
}

fn odd() -> impl Strategy<Value = Odd> {
    let float = || prop_oneof![num::f64::ANY, any::<f64>(), (-1e9..1e9)];
    let flat = (
        any::<u64>(),
        prop::collection::btree_map("[a-c]", prop::option::of(float()), 0..3),
    );
    let sum = (float(), any::<Option<Vec<u64>>>());
    let leaf = prop_oneof![
        Just(Odd::Nothing),
        Just(Odd::Unit(Unit)),
        Just(Odd::Empty(Empty {})),
        Just(Odd::NoFields(NoFields())),
        Just(Odd::Null(())),
        any::<bool>().prop_map(|some| Odd::MaybeUnit(some.then_some(Unit))),
        any::<bool>().prop_map(|some| Odd::MaybeEmpty(some.then_some(Empty {}))),
        any::<bool>().prop_map(|some| Odd::MaybeNull(some.then_some(()))),
        float().prop_map(Odd::Float),
        num::f32::ANY.prop_map(Odd::Small),
        any::<i128>().prop_map(Odd::Large),
        any::<u128>().prop_map(Odd::Larger),
        any::<char>().prop_map(Odd::Character),
        any::<String>().prop_map(Odd::Text),
        (0..3_u8).prop_map(|length| Odd::Chain(chain(length))),
        prop::option::of(prop::option::of(num::f32::ANY))
            .prop_map(|maybe| Odd::Transparent(maybe.map(|inner| Transparent { inner }))),
        Just(Odd::Tagged(Tagged::Nothing)),
        sum.prop_map(|(sum, of)| Odd::Tagged(Tagged::Sum { sum, of })),
        flat.prop_map(|(id, rest)| Odd::Flat(Flat { id, rest })),
        any::<[u8; 20]>().prop_map(Odd::Bytes),
        any::<IpAddr>().prop_map(Odd::Address),
        any::<Duration>().prop_map(Odd::Took),
        any::<u32>()
            .prop_map(|secs| Odd::At(SystemTime::UNIX_EPOCH + Duration::from_secs(secs.into()))),
    ];
    leaf.prop_recursive(4, 16, 3, |odd| {
        let boxed = || odd.clone().prop_map(Box::new);
        macro_rules! by {
            ($key:expr, $variant:ident) => {
                prop::collection::btree_map($key, odd.clone(), 0..3).prop_map(Odd::$variant)
            };
        }
        prop_oneof![
            prop::option::of(prop::option::of(boxed())).prop_map(Odd::Nested),
            (boxed(), boxed()).prop_map(|(one, other)| Odd::Pair(one, other)),
            (boxed(), prop::collection::vec(odd.clone(), 0..3))
                .prop_map(|(one, more)| Odd::Fields { one, more }),
            by!(any::<i64>(), ByNumber),
            by!(any::<u128>(), ByLarge),
            by!(any::<bool>(), ByBool),
            by!(any::<char>(), ByCharacter),
            by!(prop_oneof![Just(Name::One), Just(Name::Two)], ByName),
            by!(any::<Option<u8>>(), ByMaybe),
            by!(any::<(u8, bool)>(), ByPair),
            by!(prop::collection::vec(any::<u8>(), 0..3), ByList),
        ]
    })
}

/// Whether the codec accepts the value. If it does, asserts that the codec reads the value back, NaN as NaN.
fn taken<C: Codec<T>, T: Debug>(value: &T) -> bool {
    let mut bytes = Vec::new();
    if C::encode(value, &mut bytes).is_err() {
        return false;
    }
    let read = C::decode(&bytes).unwrap_or_else(|error| {
        panic!(
            "codec {} encoded {value:?} as {bytes:?}, which does not decode: {error}",
            C::name()
        )
    });
    let (read, value) = (format!("{read:?}"), format!("{value:?}"));
    assert_eq!(read, value, "by {}, from {bytes:?}", C::name());
    true
}

/// Whether MessagePack accepts the value, and whether JSON does.
fn each<T: Serialize + DeserializeOwned + Debug + 'static>(value: &T) -> (bool, bool) {
    taken::<ByType, T>(value);
    (taken::<MsgPack, T>(value), taken::<Json, T>(value))
}

fn refused<C: Codec<T>, T>(value: &T) -> String {
    let refused = C::encode(value, &mut Vec::new()).expect_err("the codec refuses the value");
    refused.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]

    #[test]
    fn what_is_written_is_read(odd in odd()) {
        each(&odd);
    }

    #[test]
    fn floats_are_read_exactly(float in num::f64::ANY, small in num::f32::ANY, money in -1e7..1e7_f64) {
        prop_assert_eq!(each(&float), (true, float.is_finite()));
        prop_assert_eq!(each(&small), (true, small.is_finite()));
        prop_assert_eq!(each(&money), (true, true));
        prop_assert!(taken::<Text, _>(&float) && taken::<Text, _>(&small));
    }

    #[test]
    fn plain_values_are_read(
        large in any::<(i128, u128)>(), text in any::<String>(), bytes in any::<Vec<u8>>(), character in any::<char>(),
    ) {
        prop_assert_eq!(each(&large), (true, true));
        prop_assert_eq!(each(&text), (true, true));
        prop_assert_eq!(each(&bytes), (true, true));
        prop_assert!(taken::<Text, _>(&large.0) && taken::<Text, _>(&large.1));
        prop_assert!(taken::<Text, _>(&text) && taken::<Text, _>(&character) && taken::<Raw, _>(&bytes));
    }
}

#[test]
fn what_json_does_not_have_is_refused_with_the_cure() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(each(&float), (true, false));
        assert_eq!(each(&Some(float)), (true, false));
        assert_eq!(each(&BTreeMap::from([(1, (float, 'a'))])), (true, false));
        let said = refused::<Json, _>(&vec![Some(float)]);
        assert!(
            said.contains("NaN") && said.contains("codec = MsgPack"),
            "{said}"
        );
    }
    assert_eq!(each(&None::<f64>), (true, true));
    assert_eq!(
        each(&BTreeMap::from([((1, 2), 3)])),
        (true, false),
        "JSON must refuse keys that are not text"
    );
    assert_eq!(each(&BTreeMap::from([(Some(7), 3)])), (true, true));
    assert_eq!(each(&(Unit, Empty {}, NoFields(), ())), (true, true));
}

#[test]
fn an_empty_value_in_an_option_is_not_mistaken_for_none() {
    assert_eq!(each(&None::<Option<u8>>), (true, true));
    assert_eq!(each(&Some(Some(7))), (true, true));
    assert_eq!(each(&Some(None::<u8>)), (false, false));
    assert_eq!(each(&Some(())), (false, false));
    assert_eq!(each(&Some(Unit)), (true, false));
    assert_eq!(each(&Some(Empty {})), (true, true));
    assert_eq!(each(&chain(0)), (true, true));
    assert_eq!(each(&chain(1)), (false, false));
    assert_eq!(each(&Some(Transparent { inner: None })), (false, false));
    let said = refused::<MsgPack, _>(&vec![Some(None::<u8>)]);
    assert!(said.contains("your own enum"), "{said}");
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Tree(Vec<Tree>);
    for depth in 1..300 {
        let tree = (1..depth).fold(Tree(vec![]), |tree, _| Tree(vec![tree]));
        assert_eq!(each(&tree), (depth <= 128, depth <= 127), "{depth} levels");
    }
}

#[test]
fn an_emitter_refuses_what_could_not_be_read() {
    #[goka::stream("rates", value = f64, codec = Json)]
    struct Rates;

    let config = goka::Config::new()
        .brokers("embedded")
        .create_stream("rates", 1);
    let rates = goka::Emitter::<Rates>::new(&config).expect("the emitter opens");
    rates
        .emit_sync("eur", &1.25)
        .expect("the emitter accepts a number");
    let refused = rates
        .emit("eur", &f64::NAN)
        .expect_err("JSON must refuse NaN");
    assert!(matches!(refused, goka::Error::Encode { .. }), "{refused:?}");
    assert!(refused.to_string().contains("codec = MsgPack"), "{refused}");
}
