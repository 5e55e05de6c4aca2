//! Models of tables: the expected rows, computed only from the records of a topic.

use std::collections::BTreeMap;

use crate::Record;

/// The number of records of each key.
pub fn count_by_key(records: &[Record]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.key_text().to_owned()).or_default() += 1;
    }
    counts
}

/// The last value of each key, without deleted keys: the table that a changelog describes. A key belongs to one
/// partition, so the order between partitions does not matter. Panics if a key is in two partitions.
pub fn last_values(records: &[Record]) -> BTreeMap<String, String> {
    let mut partitions = BTreeMap::new();
    let mut values = BTreeMap::new();
    for record in records {
        let key = record.key_text().to_owned();
        let partition = *partitions.entry(key.clone()).or_insert(record.partition);
        assert_eq!(
            partition, record.partition,
            "partition of the rows of `{key}`"
        );
        match record.value {
            Some(_) => values.insert(key, record.value_text().to_owned()),
            None => values.remove(&key),
        };
    }
    values
}
