//! Compares the overlay with a model that consists of plain maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Overlay;

type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

#[derive(Clone, Debug)]
enum Act {
    Put(Vec<u8>, Option<Vec<u8>>),
    Close,
    Join,
    Acknowledge,
    Store { kept: usize },
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    let key = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3),
        // Keys with a long common prefix, and keys that are prefixes of others.
        "user-[0-9]{1,2}".prop_map(String::into_bytes),
        "user-00000000[0-9]{0,2}".prop_map(String::into_bytes),
    ];
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    prop_oneof![
        20 => (key, value).prop_map(|(key, value)| Act::Put(key, value)),
        2 => Just(Act::Close),
        1 => Just(Act::Join),
        2 => Just(Act::Acknowledge),
        2 => prop_oneof![Just(0), Just(400), Just(usize::MAX)].prop_map(|kept| Act::Store { kept }),
        1 => Just(Act::Clear),
    ]
}

fn sorted(overlay: &mut Overlay) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let rows = overlay.sorted();
    rows.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
        .collect()
}

proptest! {
    #[test]
    fn intervals_behave_as_maps(acts in prop::collection::vec(act(), 0..200)) {
        let mut overlay = Overlay::default();
        let (mut open, mut closing) = (Model::new(), Model::new());
        let mut unstored = Model::new();
        // All rows that were ever stored, with the value that was stored last: a row that is kept in memory has this
        // value.
        let mut stored = Model::new();
        for act in acts {
            match act {
                Act::Put(key, value) => {
                    overlay.put(&key, value.as_deref());
                    open.insert(key, value);
                }
                Act::Join => {
                    overlay.join_intervals();
                    closing.append(&mut open);
                }
                Act::Close if closing.is_empty() => {
                    overlay.close_interval();
                    closing = std::mem::take(&mut open);
                }
                Act::Close => {}
                Act::Acknowledge => {
                    let mut given = Model::new();
                    for (key, value) in overlay.closing() {
                        given.insert(key.to_vec(), value.map(<[u8]>::to_vec));
                    }
                    prop_assert_eq!(&given, &closing);
                    overlay.acknowledge();
                    unstored.append(&mut closing);
                    prop_assert_eq!(overlay.unstored(), unstored.len());
                }
                Act::Store { .. } if !closing.is_empty() => {}
                Act::Store { kept } => {
                    let rows = sorted(&mut overlay);
                    prop_assert_eq!(rows, unstored.clone().into_iter().collect::<Vec<_>>());
                    overlay.stored(kept);
                    stored.append(&mut unstored);
                    if kept == 0 {
                        let left = overlay.entries.len();
                        prop_assert_eq!(left, open.len());
                    }
                    prop_assert_eq!(overlay.unstored(), 0);
                }
                Act::Clear => {
                    overlay.clear();
                    (open, closing, unstored) = (Model::new(), Model::new(), Model::new());
                    prop_assert!(overlay.entries.is_empty());
                }
            }
            prop_assert_eq!(overlay.open.len(), open.len());
            for (key, value) in stored.iter().chain(&unstored).chain(&closing).chain(&open) {
                let newest = open.get(key).or_else(|| closing.get(key));
                let newest = newest.or_else(|| unstored.get(key));
                let got = overlay.get(key).map(|value| value.map(<[u8]>::to_vec));
                match newest {
                    Some(newest) => prop_assert_eq!(got.as_ref(), Some(newest)),
                    None if got.is_some() => prop_assert_eq!(got.as_ref(), Some(value)),
                    None => {}
                }
            }
        }
    }
}

#[test]
fn a_value_that_grows_keeps_the_value_of_the_closing_interval() {
    let mut overlay = Overlay::default();
    overlay.put(b"a", Some(b"1"));
    overlay.close_interval();
    overlay.put(b"a", Some(b"a longer one"));
    assert_eq!(overlay.get(b"a"), Some(Some(b"a longer one".as_slice())));
    overlay.acknowledge();
    assert_eq!(sorted(&mut overlay), [(b"a".to_vec(), Some(b"1".to_vec()))]);
    overlay.stored(usize::MAX);
    overlay.close_interval();
    overlay.put(b"a", None);
    overlay.acknowledge();
    let row = (b"a".to_vec(), Some(b"a longer one".to_vec()));
    assert_eq!(sorted(&mut overlay), [row]);
    assert_eq!(overlay.get(b"a"), Some(None));
}
