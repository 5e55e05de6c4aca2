//! The guarantees of local copies, tested on real files. Dropping a store simulates a crash.

mod discard;
mod hold;
mod limits;
mod model;
#[cfg(unix)]
mod modes;
mod moments;
mod rebuild;
mod speed;
mod unused;

use std::{path::Path, time::Duration};

use super::{Identity, Options, Position, Span, Store};

fn identity() -> Identity {
    Identity {
        cluster: "cluster-1".to_owned(),
        topic: "clicks-state".to_owned(),
        topic_id: String::new(),
        partition: 3,
        partitions: 8,
        codec: "Text, MessagePack".to_owned(),
    }
}

fn options() -> Options {
    Options {
        map_size: 1 << 32,
        wait: Duration::ZERO,
        snapshot_max: Duration::from_secs(60),
        part_pages: 2,
    }
}

/// Opens a copy that must not be discarded.
fn open(path: &Path) -> Store {
    let (store, discarded) = Store::open(path, &identity(), &options()).unwrap();
    assert_eq!(discarded, None);
    store
}

fn at(changelog: i64) -> Position {
    Position {
        changelog,
        inputs: vec![("user-clicks".to_owned(), changelog * 2)],
        at_ms: 1_700_000_000_000 + changelog,
        whole_from: 0,
    }
}

/// Commits one row and the position `changelog`.
fn commit(store: &mut Store, key: &[u8], value: &[u8], changelog: i64) {
    let mut batch = store.batch().unwrap();
    batch.put(key, value).unwrap();
    batch.commit(at(changelog)).unwrap();
}

fn get(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    let snapshot = store.snapshot().unwrap();
    snapshot.get(key).unwrap().map(<[u8]>::to_vec)
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Rows of a span.
fn scan(store: &Store, span: Span<'_>) -> Pairs {
    let mut rows = Vec::new();
    let mut row = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        true
    };
    store.snapshot().unwrap().scan_span(span, &mut row).unwrap();
    rows
}
