//! A row of the table, in the words of the worker and of the judge alike: enough of a key's history that a record that
//! is missing, comes twice, or comes behind a deletion that was dropped, shows in it.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail};

/// What came of the records of a key since it was deleted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// How many there were.
    pub(crate) count: i64,
    /// The sum of what they held.
    pub(crate) sum: i64,
    /// What the last one held.
    pub(crate) last: i64,
    /// The offset of the first one.
    pub(crate) born: i64,
}

impl Row {
    /// The row after a record, and before it `row`.
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

    /// With one more record.
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
        let numbers = numbers.with_context(|| format!("`{text}` is no row"))?;
        let [count, sum, last, born] = numbers[..] else {
            bail!("`{text}` is no row");
        };
        Ok(Row {
            count,
            sum,
            last,
            born,
        })
    }
}
