//! Every way of reading a view shows the rows that a plain client finds in the changelog, even while the view is
//! updated.

use std::{
    ops::Bound,
    sync::atomic::{AtomicBool, Ordering},
};

use goka::view::ViewSnapshot;
use goka_tests::Message;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{TOPIC, Table, Viewed, expected, key, message, open, pairs, place, row, within, write};

/// Asserts that every way of reading the snapshot returns the rows of the table.
fn check(snapshot: &ViewSnapshot<Viewed>, table: &Table, random: &mut StdRng) {
    let all: Vec<(String, i64)> = table.clone().into_iter().collect();
    assert_eq!(pairs(snapshot.iter()), all);
    assert_eq!(
        snapshot.len().expect("the row can be read"),
        all.len() as u64
    );
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(pairs(snapshot.iter().rev()), reversed);
    for _ in 0..20 {
        let (a, b) = (key(random), key(random));
        assert_eq!(
            snapshot.get(&a).expect("the row can be read"),
            table.get(&a).copied()
        );
        assert_eq!(
            snapshot.has(&b).expect("the row can be read"),
            table.contains_key(&b)
        );
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        let between: Vec<_> = all
            .iter()
            .filter(|(key, _)| *key > from && *key <= to)
            .cloned()
            .collect();
        let range = (Bound::Excluded(&from[..]), Bound::Included(&to[..]));
        assert_eq!(pairs(snapshot.range(range)), between, "{from}..={to}");
        // An iterator that is read alternately from both ends, in any order, returns every row once.
        let mut rows = snapshot.range(range);
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let (next, from) = match random.random() {
                true => (rows.next(), &mut front),
                false => (rows.next_back(), &mut back),
            };
            match next {
                Some(row) => from.push(row.expect("the row can be read")),
                None => break,
            }
        }
        back.reverse();
        assert_eq!([front, back].concat(), between);
    }
    for prefix in ["user-1", "long-", "ü", "", "nobody"] {
        let mut with = all.clone();
        with.retain(|(key, _)| key.starts_with(prefix));
        assert_eq!(pairs(snapshot.prefix(prefix)), with, "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_it_is_read_it_shows_the_table_also_while_it_is_written() {
    let seed = rand::random();
    println!("seed {seed}");
    let (place, mut random) = (place(2), StdRng::seed_from_u64(seed));
    write(&place, (0..3000).map(|_| message(&mut random)));
    let view = open(&place).await;
    check(
        &view.snapshot().expect("taken"),
        &expected(&place),
        &mut random,
    );

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (place, done, view) = (&place, &done, &view);
        let mut writes = StdRng::seed_from_u64(seed + 1);
        scope.spawn(move || {
            for _ in 0..10 {
                write(place, (0..300).map(|_| message(&mut writes)));
            }
            done.store(true, Ordering::Relaxed);
        });
        // A snapshot does not change, even if rows are written while it is read.
        while !done.load(Ordering::Relaxed) {
            let snapshot = view.snapshot().expect("taken");
            let table: Table = pairs(snapshot.iter()).into_iter().collect();
            check(&snapshot, &table, &mut random);
            pairs(view.iter().rev());
        }
    });

    within(view.caught_up()).await.expect("the view catches up");
    let table = expected(&place);
    check(&view.snapshot().expect("taken"), &table, &mut random);
    let all: Vec<(String, i64)> = table.clone().into_iter().collect();
    assert_eq!(pairs(view.iter()), all);
    let keys: Vec<String> = (0..100).map(|_| key(&mut random)).collect();
    let values = view.get_many(keys.iter().map(String::as_str));
    let values = values.expect("the row can be read");
    assert_eq!(values.len(), keys.len());
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value, table.get(key).copied(), "{key}");
        assert_eq!(view.get(key).expect("the row can be read"), value);
        assert_eq!(view.has(key).expect("the row can be read"), value.is_some());
    }
    let users = pairs(view.range("user-".."user-5").rev());
    let mut expected = all.clone();
    expected.retain(|(key, _)| "user-" <= &key[..] && &key[..] < "user-5");
    expected.reverse();
    assert_eq!(users, expected);
    assert_eq!(
        pairs(view.prefix("ü")).len(),
        all.iter().filter(|(key, _)| key.starts_with('ü')).count()
    );

    let stats = view.stats().expect("the statistics can be read");
    assert_eq!((stats.rows, stats.lag), (all.len() as u64, 0));
    assert_eq!(stats.partitions.len(), 2);
    assert!(stats.bytes > 0 && stats.updated.is_some());
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was_and_may_go_to_another_thread() {
    let place = place(2);
    write(&place, [row("a", 1), row("b", 2)]);
    let view = open(&place).await;
    let snapshot = view.snapshot().expect("taken");
    write(&place, [row("a", 3), Message::tombstone("b"), row("c", 4)]);
    within(view.caught_up()).await.expect("the view catches up");
    assert_eq!(
        view.get_many(["a", "b", "c"]).expect("the row can be read"),
        [Some(3), None, Some(4)]
    );
    drop(view);
    let read = std::thread::spawn(move || pairs(snapshot.iter()));
    let expected = [("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(
        read.join().expect("the reading thread does not panic"),
        expected
    );
}

#[tokio::test]
async fn a_row_that_does_not_decode_is_named_and_the_others_are_read() {
    let place = place(1);
    let messages = [row("a", 1), Message::new("b", "two"), row("c", 3)];
    write(&place, messages);
    let view = open(&place).await;
    let error = view
        .get("b")
        .expect_err("the row does not decode")
        .to_string();
    let topic = place.physical(TOPIC);
    assert!(error.contains("`b`") && error.contains(&topic), "{error}");
    assert!(view.has("b").expect("the row can be read"));
    let rows: Vec<_> = view.iter().map(|row| row.ok()).collect();
    let row = |key: &str, value| Some((key.to_owned(), value));
    assert_eq!(rows, [row("a", 1), None, row("c", 3)]);
}
