//! Models of tables: they compute the expected rows, only from the records of a topic.

use std::collections::BTreeMap;

use crate::Record;

/// Maps each key to the number of its records.
pub fn count_by_key(records: &[Record]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.key_text().to_owned()).or_default() += 1;
    }
    counts
}

/// Maps each key that is not deleted to its last value: the table that a changelog describes. All records of a key are
/// in one partition, so the order of records of different partitions does not matter. Panics if a key has records in
/// two partitions.
pub fn last_values(records: &[Record]) -> BTreeMap<String, String> {
    let mut partitions = BTreeMap::new();
    let mut values = BTreeMap::new();
    for record in records {
        let key = record.key_text().to_owned();
        let partition = *partitions.entry(key.clone()).or_insert(record.partition);
        assert_eq!(
            partition, record.partition,
            "all records of key `{key}` must be in the same partition"
        );
        match record.value {
            Some(_) => values.insert(key, record.value_text().to_owned()),
            None => values.remove(&key),
        };
    }
    values
}
