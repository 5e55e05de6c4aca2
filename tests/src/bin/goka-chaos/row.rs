//! The row of the table, shared by worker and judge. It summarizes the history of a key so that each missing record,
//! doubled record and dropped tombstone changes the row.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail};

/// The summary of a key's records since its last tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Number of these records.
    pub(crate) count: i64,
    /// Sum of the numbers in these records.
    pub(crate) sum: i64,
    /// The number in the last of these records.
    pub(crate) last: i64,
    /// The offset of the first of these records.
    pub(crate) born: i64,
}

impl Row {
    /// The row after one more record. `row` is the text of the row before this record; `None` if there was no row.
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

    /// The row that follows this row after one more record, which holds `number`.
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
        let numbers = numbers.with_context(|| format!("`{text}` is not a row of the table"))?;
        let [count, sum, last, born] = numbers[..] else {
            bail!("`{text}` is not a row of the table");
        };
        Ok(Row {
            count,
            sum,
            last,
            born,
        })
    }
}
