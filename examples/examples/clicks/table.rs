//! The table of clicks, as it is read from a view: the sum of all clicks, and the first rows.

use std::time::{Duration, Instant};

use goka::View;

use crate::Clicks;

/// Maximum number of rows that are shown; this many rows fit in a terminal.
const ROWS_SHOWN: usize = 15;

#[derive(Default)]
pub(crate) struct Table {
    /// The number of clicks of all users.
    pub(crate) total: u64,
    users: u64,
    /// The first users, each with the number of their clicks.
    rows: Vec<(String, i64)>,
    /// How long the read took.
    pub(crate) read_in: Duration,
}

impl Table {
    /// Reads all rows, which is fast for a small table.
    pub(crate) fn read(view: &View<Clicks>) -> goka::Result<Table> {
        let started = Instant::now();
        let mut table = Table::default();
        // While this thread is blocked, its other tasks move to other threads.
        tokio::task::block_in_place(|| {
            for row in view.iter() {
                let (user, clicks) = row?;
                table.total += clicks.unsigned_abs();
                table.users += 1;
                if table.rows.len() < ROWS_SHOWN {
                    table.rows.push((user, clicks));
                }
            }
            Ok::<_, goka::Error>(())
        })?;
        table.read_in = started.elapsed();
        Ok(table)
    }

    /// The lines to show.
    pub(crate) fn lines(&self, clicks_per_second: f64) -> Vec<String> {
        let width = self
            .rows
            .iter()
            .map(|(user, _)| user.len())
            .max()
            .unwrap_or(0);
        let rows = self.rows.iter();
        let mut lines: Vec<String> = rows
            .map(|(user, clicks)| format!("{user:width$}  {clicks:>12}"))
            .collect();
        if self.users > self.rows.len() as u64 {
            lines.push(format!("and {} more", self.users - self.rows.len() as u64));
        }
        let (total, users) = (self.total, self.users);
        lines.push(format!(
            "{total} clicks by {users} users, {clicks_per_second:.0} per second"
        ));
        lines
    }
}
