//! The table's row, shared by worker and judge. It summarizes the history of a key, so that a missing record, a doubled
//! record and a dropped tombstone each change it.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail};

/// The summary of a key's records since its last tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Number of records.
    pub(crate) count: i64,
    /// Sum of their numbers.
    pub(crate) sum: i64,
    /// Number of the last record.
    pub(crate) last: i64,
    /// Offset of the first record.
    pub(crate) born: i64,
}

impl Row {
    /// The row after one more record, where `row` is the text of the row before the record.
    pub(crate) fn after(row: Option<&str>, offset: i64, number: i64) -> anyhow::Result<Row> {
        let before = row.map(str::parse).transpose()?;
        let before = before.unwrap_or(Row {
            count: 0,
            sum: 0,
            last: 0,
            born: offset,
        });
        Ok(before.and(number))
    }

    /// The row after one more record.
    pub(crate) fn and(self, number: i64) -> Row {
        Row {
            count: self.count + 1,
            sum: self.sum + number,
            last: number,
            born: self.born,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            count,
            sum,
            last,
            born,
        } = self;
        write!(f, "{count} {sum} {last} {born}")
    }
}

impl FromStr for Row {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Row> {
        let numbers = text
            .split(' ')
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>();
        let numbers = numbers.with_context(|| format!("`{text}` is not a row"))?;
        let [count, sum, last, born] = numbers[..] else {
            bail!("`{text}` is not a row");
        };
        Ok(Row {
            count,
            sum,
            last,
            born,
        })
    }
}
