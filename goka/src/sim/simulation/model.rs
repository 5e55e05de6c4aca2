//! The plain model of the simulated program: its table after some input records, and the table that a changelog has.
//!
//! Must not know workers.

use std::{collections::BTreeMap, rc::Rc};

use super::{GROUP, INPUTS, OPERATOR, TABLE, program::row_after};
use crate::{
    engine::cut::{Cut, Found},
    sim::kafka::{World, Written},
};

pub(super) type Record = Rc<Written>;
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn key(record: &Record) -> &[u8] {
    record.key.as_deref().unwrap_or_default()
}

/// The rows of a changelog before an offset.
pub(super) fn replay(history: &[Record], until: i64) -> Rows {
    let mut rows = Rows::new();
    for record in history.iter().take_while(|record| record.offset < until) {
        match &record.value {
            Some(value) => rows.insert(key(record).to_vec(), value.clone()),
            None => rows.remove(key(record)),
        };
    }
    rows
}

/// The rows that the program has after the records of a partition before these offsets, one offset for each input.
pub(super) fn table(inputs: &[Vec<Record>], offsets: &[i64]) -> Rows {
    let mut rows = Rows::new();
    for (records, end) in inputs.iter().zip(offsets) {
        for record in records.iter().take_while(|record| record.offset < *end) {
            let (key, value) = (key(record), record.value.as_deref());
            let before = rows.get(key).map(Vec::as_slice);
            match row_after((key, value), record.offset, before)
                .ok()
                .flatten()
            {
                Some(row) => rows.insert(key.to_vec(), row.into_bytes()),
                None => rows.remove(key),
            };
        }
    }
    rows
}

/// Rows without those that an operator has written.
pub(super) fn without_operators(mut rows: Rows) -> Rows {
    rows.retain(|key, _| !key.starts_with(OPERATOR.as_bytes()));
    rows
}

/// What the group has committed for a partition now.
pub(super) fn committed(world: &World, partition: i32) -> Found {
    let changelog = world.committed(GROUP, TABLE, partition);
    let inputs = INPUTS.map(|topic| {
        let committed = world.committed(GROUP, topic, partition);
        (topic, committed.map(|committed| committed.offset))
    });
    Cut::find(changelog.as_ref(), inputs.into_iter())
}
