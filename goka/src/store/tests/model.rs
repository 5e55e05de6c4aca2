//! Compares a local copy with a model, which is a map: after any sequence of operations, both have the same rows.

use std::{
    collections::BTreeMap,
    ops::{Bound, RangeBounds},
};

use proptest::{collection::vec, prelude::*};

use super::{Position, at, get, open, scan};
use crate::store::{Span, Store, key};

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Clear,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    /// The batch is dropped.
    Drop,
    /// The batch is committed, then the store is dropped without being closed, and opened again.
    Crash,
    /// The batch is committed, and the store is closed and opened again.
    Close,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of all lengths at which the stored form changes. Most long keys differ only in bytes after the head that is
/// stored.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0..4_usize, 462..468_usize, 478..484_usize, 900..902_usize];
    let short = vec(0..3_u8, 0..3);
    let filled =
        (length, any::<bool>(), 0..3_u8, 0..2_u8).prop_map(|(length, high, tail, head)| {
            let mut key = vec![if high { 255 } else { 97 }; length];
            if let Some(last) = key.last_mut() {
                *last = tail;
            }
            if let Some(first) = key.first_mut() {
                *first ^= head;
            }
            key
        });
    prop_oneof![short, filled]
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        20 => (keys(), prop_oneof![vec(any::<u8>(), 0..3), vec(any::<u8>(), 5000)])
            .prop_map(|(key, value)| Change::Put(key, value)),
        8 => keys().prop_map(Change::Delete),
        1 => Just(Change::Clear),
    ]
}

fn batches() -> impl Strategy<Value = (Vec<Change>, End)> {
    let end = prop_oneof![
        Just(End::Commit),
        Just(End::Drop),
        Just(End::Crash),
        Just(End::Close)
    ];
    (vec(changes(), 0..12), end)
}

fn check(store: &Store, model: &Rows, probes: &[Vec<u8>], position: &Position) {
    assert_eq!(store.position(), position);
    let all: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(scan(store, Span::ALL), all);
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.len().unwrap() <= all.len() as u64);
    for probe in probes {
        assert_eq!(get(store, probe).as_ref(), model.get(probe));
    }
    for from in bounds(probes) {
        for to in bounds(probes) {
            let mut expected = all.clone();
            expected.retain(|(key, _)| RangeBounds::<[u8]>::contains(&(from, to), &key[..]));
            let span = Span {
                from,
                to,
                reverse: false,
            };
            assert_eq!(scan(store, span), expected, "{span:?}");
            let reverse = Span {
                reverse: true,
                ..span
            };
            expected.reverse();
            assert_eq!(scan(store, reverse), expected, "{reverse:?}");
        }
    }
}

/// No bound, and each probe as an inclusive and as an exclusive bound.
fn bounds(probes: &[Vec<u8>]) -> Vec<Bound<&[u8]>> {
    let of = |probe| [Bound::Included(probe), Bound::Excluded(probe)];
    let mut bounds: Vec<_> = probes.iter().flat_map(|probe| of(&probe[..])).collect();
    bounds.push(Bound::Unbounded);
    bounds
}

fn run(batches: Vec<(Vec<Change>, End)>, probes: Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let (mut model, mut position) = (Rows::new(), Position::default());
    for (number, (changes, end)) in batches.into_iter().enumerate() {
        let before = store.snapshot().unwrap();
        let length = before.len().unwrap();
        let mut changed = model.clone();
        let mut batch = store.batch().unwrap();
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    batch.put(&key, &value).unwrap();
                    assert_eq!(batch.get(&key).unwrap(), Some(&value[..]));
                    changed.insert(key, value);
                }
                Change::Delete(key) => {
                    batch.delete(&key).unwrap();
                    assert_eq!(batch.get(&key).unwrap(), None);
                    changed.remove(&key);
                }
                Change::Clear => {
                    batch.clear().unwrap();
                    changed.clear();
                }
            }
        }
        if matches!(end, End::Drop) {
            drop(batch);
        } else {
            position = at(number as i64 + 1);
            batch.commit(position.clone()).unwrap();
        }
        // The snapshot does not see later changes.
        assert_eq!(before.len().unwrap(), length);
        for probe in &probes {
            assert_eq!(before.get(probe).unwrap(), model.get(probe).map(|v| &v[..]));
        }
        drop(before);
        if !matches!(end, End::Drop) {
            model = changed;
        }
        match end {
            End::Crash => {
                drop(store);
                store = open(dir.path());
            }
            End::Close => {
                store.close().unwrap();
                store = open(dir.path());
            }
            End::Commit | End::Drop => {}
        }
        check(&store, &model, &probes, &position);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_those_of_a_map(
        batches in vec(batches(), 0..8),
        probes in vec(keys(), 0..4),
    ) {
        run(batches, probes);
    }

    #[test]
    fn keys_whose_hashes_are_equal_are_kept_apart(
        batches in vec(batches(), 0..8),
        probes in vec(keys(), 0..4),
    ) {
        key::tests::COLLIDE.set(true);
        run(batches, probes);
        key::tests::COLLIDE.set(false);
    }
}

#[test]
fn scan_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut batch = store.batch().unwrap();
    for key in [&b"a"[..], b"b", b"c", &[b'b'; 1000]] {
        batch.put(key, b"").unwrap();
    }
    batch.commit(at(1)).unwrap();
    let mut seen = Vec::new();
    let mut row = |key: &[u8], _: &[u8]| {
        seen.push(key.len());
        seen.len() < 3
    };
    store
        .snapshot()
        .unwrap()
        .scan(b"a", false, &mut row)
        .unwrap();
    assert_eq!(seen, [1, 1, 1000]);
}
