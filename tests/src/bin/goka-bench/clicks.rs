//! The input topic of clicks, and a model of the expected table that does not use goka.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use goka_tests::{Message, Record, visit_topic};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{place::Place, settings::Settings, table::Page};

/// The name of the topic of clicks for these settings. Runs with equal settings share the topic.
pub(crate) fn topic(settings: &Settings) -> String {
    let Settings {
        messages,
        users,
        partitions,
        ..
    } = settings;
    let bytes = settings.value_bytes.unwrap_or(0);
    format!("goka-bench-clicks-{messages}-{users}-{partitions}-{bytes}")
}

/// Fills the topic unless an earlier run has filled it. The clicks are always the same.
pub(crate) fn fill(place: &Place, settings: &Settings) -> anyhow::Result<()> {
    let mut chance = StdRng::seed_from_u64(42);
    let clicks = (0..settings.messages).map(|_| {
        let user = format!("user-{}", chance.random_range(0..settings.users));
        match settings.value_bytes {
            None => Message::new(user, "2026-01-01T00:00:00.000Z"),
            Some(bytes) => Message::new(user, text(&mut chance, bytes)),
        }
    });
    place.fill(
        &topic(settings),
        settings.partitions,
        settings.messages,
        &[],
        clicks,
    )
}

/// Random text, which does not compress well.
pub(crate) fn text(chance: &mut StdRng, bytes: usize) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz012345";
    let letter = |_| char::from(letters[chance.random_range(0..letters.len())]);
    (0..bytes).map(letter).collect()
}

/// The contents of a topic, by user. Values are kept as hashes, because the values themselves may not fit into memory.
pub(crate) struct Model {
    /// For each user, the number of records and the hash of the last value.
    users: HashMap<Vec<u8>, (u64, u64)>,
    records: u64,
    hasher: RandomState,
}

impl Model {
    /// The model of the clicks.
    pub(crate) fn of_clicks(place: &Place, settings: &Settings) -> Model {
        let mut model = Model {
            users: HashMap::new(),
            records: 0,
            hasher: RandomState::new(),
        };
        model.read(place, &topic(settings));
        model
    }

    fn read(&mut self, place: &Place, topic: &str) {
        visit_topic(place.address(), topic, |record| {
            let value = self.hasher.hash_one(record.value.as_deref());
            let user = self
                .users
                .entry(record.key.unwrap_or_default())
                .or_default();
            *user = (user.0 + 1, value);
            self.records += 1;
        });
    }

    /// Whether the topic holds as many records of each user as this model, with the same last value.
    pub(crate) fn is_copied(&self, place: &Place, topic: &str) -> bool {
        let mut copy = Model {
            users: HashMap::new(),
            records: 0,
            hasher: self.hasher.clone(),
        };
        copy.read(place, topic);
        copy.records == self.records && copy.users == self.users
    }

    /// Whether the last row of each user in the changelog is as this model expects, and the changelog has at least one
    /// row for each click.
    pub(crate) fn is_counted(&self, place: &Place, settings: &Settings, topic: &str) -> bool {
        let mut rows: HashMap<Vec<u8>, Record> = HashMap::new();
        let mut records = 0;
        visit_topic(place.address(), topic, |record| {
            records += 1;
            rows.insert(record.key.clone().unwrap_or_default(), record);
        });
        let right = |(user, (clicks, last)): (&Vec<u8>, &(u64, u64))| {
            let row = rows.get(user).and_then(|row| row.value.as_deref());
            match (row, settings.value_bytes) {
                (None, _) => false,
                (Some(row), None) => row == clicks.to_string().as_bytes(),
                (Some(row), Some(_)) => rmp_serde::from_slice::<Page>(row).is_ok_and(|page| {
                    let seen = self.hasher.hash_one(Some(page.last.as_bytes()));
                    page.clicks.cast_unsigned() == *clicks && seen == *last
                }),
            }
        };
        rows.len() == self.users.len() && records >= self.records && self.users.iter().all(right)
    }
}
