//! How fast a copy is, by hand: `cargo test --release -p goka --lib store::tests::speed -- --ignored
//! --nocapture`. Prints, and asserts nothing of time.

use std::{collections::HashMap, hint::black_box, time::Instant};

use super::{at, open};
use crate::store::Store;

/// Rows a batch, as at 250k records a second and a commit every 100 ms.
const BATCH: usize = 25_000;

/// A fixed sequence (xorshift), so that runs can be compared.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn key(number: usize) -> [u8; 12] {
    let mut key = *b"user-0000000";
    for (place, byte) in key[5..].iter_mut().rev().enumerate() {
        *byte = b'0' + (number / 10_usize.pow(place as u32) % 10) as u8;
    }
    key
}

fn per_second(count: usize, since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64();
    format!("{:.2} M/s", count as f64 / seconds / 1e6)
}

fn fill(store: &mut Store, rows: usize) {
    let mut batch = store.batch().unwrap();
    for number in 0..rows {
        batch.put(&key(number), b"1").unwrap();
    }
    batch.commit(at(0)).unwrap();
}

fn count(value: Option<&[u8]>) -> u64 {
    let text = value.map(|value| std::str::from_utf8(value).unwrap());
    text.map_or(0, |text| text.parse().unwrap())
}

/// Reads and writes go to the write transaction.
fn in_transaction(store: &mut Store, rows: usize, batches: usize) {
    let mut random = Random(42);
    for number in 0..batches {
        let mut batch = store.batch().unwrap();
        for _ in 0..BATCH {
            let key = key(random.below(rows));
            let count = count(batch.get(&key).unwrap()) + 1;
            batch.put(&key, count.to_string().as_bytes()).unwrap();
        }
        batch.commit(at(number as i64)).unwrap();
    }
}

/// Reads go to a snapshot below a map, writes to the map, which is sorted and written at the end.
fn over_snapshot(store: &mut Store, rows: usize, batches: usize) {
    let mut random = Random(42);
    let mut written: HashMap<[u8; 12], Vec<u8>> = HashMap::new();
    let mut sorted = Vec::new();
    for number in 0..batches {
        let snapshot = store.snapshot().unwrap();
        for _ in 0..BATCH {
            let key = key(random.below(rows));
            let value = match written.get(&key) {
                Some(value) => Some(&value[..]),
                None => snapshot.get(&key).unwrap(),
            };
            let count = count(value) + 1;
            written.insert(key, count.to_string().into_bytes());
        }
        drop(snapshot);
        sorted.extend(written.drain());
        sorted.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut batch = store.batch().unwrap();
        for (key, value) in sorted.drain(..) {
            batch.put(&key, &value).unwrap();
        }
        batch.commit(at(number as i64)).unwrap();
    }
}

#[test]
#[ignore = "a measurement"]
fn reads_and_writes() {
    for rows in [25_000, 1_000_000] {
        for (name, run) in [
            (
                "in the write transaction",
                in_transaction as fn(&mut Store, usize, usize),
            ),
            ("over a snapshot, sorted ", over_snapshot),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path());
            fill(&mut store, rows);
            let since = Instant::now();
            run(&mut store, rows, 80);
            println!("{rows:>8} rows, {name}: {}", per_second(80 * BATCH, since));
            store.close().unwrap();
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn reads() {
    for rows in [25_000, 1_000_000] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        fill(&mut store, rows);
        let mut random = Random(42);
        let snapshot = store.snapshot().unwrap();
        let since = Instant::now();
        for _ in 0..2_000_000 {
            black_box(snapshot.get(&key(random.below(rows))).unwrap().unwrap());
        }
        println!(
            "{rows:>8} rows, one snapshot: {}",
            per_second(2_000_000, since)
        );
        let since = Instant::now();
        for _ in 0..2_000_000 {
            let snapshot = store.snapshot().unwrap();
            black_box(snapshot.get(&key(random.below(rows))).unwrap().unwrap());
        }
        println!(
            "{rows:>8} rows, one each    : {}",
            per_second(2_000_000, since)
        );
        let since = Instant::now();
        let mut length = 0;
        let mut row = |key: &[u8], value: &[u8]| {
            length += key.len() + value.len();
            true
        };
        snapshot.scan(b"", false, &mut row).unwrap();
        assert_eq!(length, rows * 13);
        println!("{rows:>8} rows, scan        : {}", per_second(rows, since));
    }
}

/// One million rows come in any order, in batches of 50,000.
#[test]
#[ignore = "a measurement"]
fn rebuild() {
    let mut order: Vec<usize> = (0..1_000_000).collect();
    let mut random = Random(42);
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place + 1));
    }
    for sorted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let since = Instant::now();
        for rows in order.chunks(50_000) {
            let mut rows = rows.to_vec();
            if sorted {
                rows.sort_unstable();
            }
            let mut batch = store.batch().unwrap();
            for row in rows {
                batch.put(&key(row), b"1234").unwrap();
            }
            batch.commit(at(1)).unwrap();
        }
        println!(
            "rebuild, batches sorted {sorted}: {}",
            per_second(order.len(), since)
        );
        print_size(dir.path());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let since = Instant::now();
    fill(&mut store, order.len());
    println!("rebuild, all sorted: {}", per_second(order.len(), since));
    print_size(dir.path());
}

fn print_size(path: &std::path::Path) {
    let length = std::fs::metadata(path.join("data.mdb")).unwrap().len();
    println!("    {} MB", length >> 20);
}
