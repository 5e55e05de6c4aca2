//! The model of the expected result: computes the rows of each key from the input records in their order. Knows nothing
//! of processes, commits and owners of partitions.

use std::collections::{BTreeMap, BTreeSet};

use goka_tests::Record;

use crate::row::Row;

/// Maps each key to all its rows, in the order in which they are written; `None` stands for a deletion.
pub(crate) type Histories = BTreeMap<String, Vec<Option<Row>>>;

/// The number that a record holds; `None` if the record is a tombstone.
pub(crate) fn number(record: &Record) -> Option<i64> {
    let text = record.value.is_some().then(|| record.value_text());
    text.map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("`{text}` is not a number: {record:?}"))
    })
}

/// Computes the rows from the records of all topics that the table counts. All records of a key must be in the same
/// topic.
pub(crate) fn histories<'a>(records: impl IntoIterator<Item = &'a Record>) -> Histories {
    let mut histories = Histories::new();
    for record in records {
        let rows = histories.entry(record.key_text().to_owned()).or_default();
        let row = number(record).map(|number| {
            let before = rows.last().copied().flatten();
            let before = before.unwrap_or(Row {
                count: 0,
                sum: 0,
                last: 0,
                born: record.offset,
            });
            before.and(number)
        });
        rows.push(row);
    }
    histories
}

/// The records of the input that find no row of their key: the first record with a number of each key, also after a
/// tombstone.
pub(crate) fn firsts_of(input: &[Record]) -> impl Iterator<Item = &Record> {
    let mut keys = BTreeSet::new();
    input.iter().filter(move |record| match number(record) {
        Some(_) => keys.insert(record.key_text()),
        None => {
            keys.remove(record.key_text());
            false
        }
    })
}
