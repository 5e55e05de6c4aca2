//! Measures how fast a local copy is, when called by hand: `cargo test --release -p goka --lib
//! store::tests::speed -- --ignored --nocapture --test-threads=1`. Prints the results, and asserts nothing about time.
//! Counts CPU time (Linux), which a busy machine does not change much. A build without optimizations does a hundredth
//! of the work: `--include-ignored` then only shows that the code works.

use std::{fs, hint::black_box, path::Path};

use hashbrown::HashMap;

use super::{at, open};
use crate::store::{Span, Store};

/// Rows per batch: 250,000 records per second with a commit every 100 ms.
const BATCH: usize = 25_000;
const BATCHES: usize = 80;
const READS: usize = 2_000_000;

/// A count of rows or batches, reduced in a build without optimizations.
const fn scaled(count: usize) -> usize {
    if cfg!(debug_assertions) {
        count.div_ceil(100)
    } else {
        count
    }
}

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

/// CPU time of this thread in seconds.
struct Clock(f64);

impl Clock {
    fn now() -> f64 {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let (nanoseconds, _) = stat.split_once(' ').unwrap();
        nanoseconds.parse::<f64>().unwrap() / 1e9
    }

    fn start() -> Clock {
        Clock(Clock::now())
    }

    fn print(&self, what: &str, count: usize) {
        let per_second = count as f64 / (Clock::now() - self.0) / 1e6;
        println!("{what:<50} {per_second:6.2} M/s");
    }
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

/// Reads and writes both go to the write transaction.
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

/// Reads look in the map first and then in a snapshot. Writes go to the map; at the end of a batch, the written rows
/// are sorted and stored. With `KEEP`, rows stay in the map, as a cache of the snapshot.
fn over_snapshot<const KEEP: bool>(store: &mut Store, rows: usize, batches: usize) {
    struct Row {
        count: u64,
        written: bool,
    }
    let mut random = Random(42);
    let mut map: HashMap<[u8; 12], Row> = HashMap::new();
    let mut sorted = Vec::new();
    for number in 0..batches {
        let snapshot = store.snapshot().unwrap();
        for _ in 0..BATCH {
            let key = key(random.below(rows));
            let row = map.entry(key).or_insert_with(|| Row {
                count: count(snapshot.get(&key).unwrap()),
                written: false,
            });
            row.count += 1;
            if !row.written {
                row.written = true;
                sorted.push(key);
            }
        }
        drop(snapshot);
        sorted.sort_unstable();
        let mut batch = store.batch().unwrap();
        for key in sorted.drain(..) {
            let row = map.get_mut(&key).unwrap();
            row.written = false;
            batch.put(&key, row.count.to_string().as_bytes()).unwrap();
        }
        batch.commit(at(number as i64)).unwrap();
        if !KEEP {
            map.clear();
        }
    }
}

/// Only the writes of each batch, without reads.
fn writes_only(store: &mut Store, rows: usize, batches: usize) {
    let mut random = Random(42);
    for number in 0..batches {
        let mut keys: Vec<_> = (0..BATCH).map(|_| random.below(rows)).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut batch = store.batch().unwrap();
        for row in keys {
            batch.put(&key(row), b"1").unwrap();
        }
        batch.commit(at(number as i64)).unwrap();
    }
}

#[test]
#[ignore = "a measurement that cannot fail"]
fn reads_and_writes() {
    for rows in [25_000, 1_000_000].map(scaled) {
        for (name, run) in [
            (
                "in the write transaction",
                in_transaction as fn(&mut Store, usize, usize),
            ),
            ("over a snapshot, sorted", over_snapshot::<false>),
            ("the same, rows are kept", over_snapshot::<true>),
            ("sorted writes alone", writes_only),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path());
            fill(&mut store, rows);
            let clock = Clock::start();
            run(&mut store, rows, scaled(BATCHES));
            clock.print(&format!("{rows} rows, {name}"), scaled(BATCHES) * BATCH);
            store.close().unwrap();
        }
    }
}

#[test]
#[ignore = "a measurement that cannot fail"]
fn reads() {
    for rows in [25_000, 1_000_000].map(scaled) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        fill(&mut store, rows);
        let mut random = Random(42);
        let snapshot = store.snapshot().unwrap();
        let clock = Clock::start();
        for _ in 0..scaled(READS) {
            black_box(snapshot.get(&key(random.below(rows))).unwrap().unwrap());
        }
        clock.print(&format!("{rows} rows, one snapshot"), scaled(READS));
        let clock = Clock::start();
        for _ in 0..scaled(READS) {
            let snapshot = store.snapshot().unwrap();
            black_box(snapshot.get(&key(random.below(rows))).unwrap().unwrap());
        }
        clock.print(&format!("{rows} rows, one each"), scaled(READS));
        let clock = Clock::start();
        let mut length = 0;
        let mut row = |key: &[u8], value: &[u8]| {
            length += key.len() + value.len();
            true
        };
        snapshot.scan_span(Span::ALL, &mut row).unwrap();
        assert_eq!(length, rows * 13);
        clock.print(&format!("{rows} rows, scan"), rows);
    }
}

/// One million rows are written in batches, in random order.
#[test]
#[ignore = "a measurement that cannot fail"]
fn rebuild() {
    let mut order: Vec<usize> = (0..scaled(1_000_000)).collect();
    let mut random = Random(42);
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place + 1));
    }
    for (sorted, batch_rows) in [(false, 50_000), (true, 50_000), (true, 200_000)] {
        let batch_rows = scaled(batch_rows);
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let clock = Clock::start();
        for rows in order.chunks(batch_rows) {
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
        clock.print(
            &format!("rebuild, batches of {batch_rows}, sorted {sorted}"),
            order.len(),
        );
        print_size(dir.path());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let clock = Clock::start();
    fill(&mut store, order.len());
    clock.print("rebuild, all sorted", order.len());
    print_size(dir.path());
}

fn print_size(path: &Path) {
    let length = fs::metadata(path.join("data.mdb")).unwrap().len();
    println!("    {} MB", length >> 20);
}
