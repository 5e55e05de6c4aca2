//! Foreign rows: rows that a zombie (a previous owner that was paused past its session) has written to the changelog
//! after our rows.
//!
//! Our rows are contiguous in the changelog, so that a gap between them consists of foreign rows. Once the group has
//! confirmed that the partition is ours, the worker compares each foreign row with our row for its key. If the values
//! differ, the worker sends our row again.
//!
//! While a gap is open, the partition handles no record, and its closing interval contains everything that was handled:
//! a foreign row that equals our newest value needs no repair, but would be wrong in an earlier cut. Must not know when
//! gaps are looked for.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use tracing::warn;

use super::{offsets::Answer, work::Work};
use crate::{
    base::error::Error,
    engine::{halt::Halt, partition::ledger::Sent, port::TableEvent},
};

/// The longest time for reading foreign rows. If reading takes longer, the repair is put off.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Maps each key to the value of its newest foreign row. `None`: this row is a tombstone.
type Foreign = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Work<'_> {
    /// Repairs the foreign rows in these gaps: sends our row again for each key whose foreign row has another value.
    /// Returns the number of rows that were sent. `None`: the repair is put off, because the group did not confirm that
    /// the partition is ours, or because the foreign rows could not be read in time.
    pub(crate) fn repair(
        &mut self,
        number: i32,
        gaps: Vec<Range<i64>>,
    ) -> Result<Option<usize>, Halt> {
        let foreign = match self.commit_one(number)? {
            Answer::Taken => self.read_gaps(number, &gaps)?,
            Answer::Refused => None,
        };
        let Some(foreign) = foreign else {
            self.partitions.ledger_mut().return_gaps(number, gaps);
            return Ok(None);
        };
        let Some(partition) = self.partitions.running(number) else {
            return Ok(None);
        };
        let (rows, half) = (
            partition.rows().clone(),
            partition.intervals().closing_half(),
        );
        let mut repairs = 0;
        for (key, theirs) in &foreign {
            let ours = rows.read_sent(key, |value| value.map(<[u8]>::to_vec))?;
            if ours == *theirs {
                continue;
            }
            let (account, row) = ((number, half, Sent::Repair), (&**key, ours.as_deref()));
            let timestamp = self.env.kafka.wall_ms();
            self.partitions
                .send_row(&self.env, account, row, timestamp)?;
            repairs += 1;
        }
        if !foreign.is_empty() {
            warn!(
                group = self.env.group(),
                topic = self.env.changelog(),
                partition = number,
                rows = foreign.len(),
                repairs,
                "a previous owner wrote to the changelog after this worker took the partition over; writing our rows again"
            );
        }
        Ok(Some(repairs))
    }

    /// Reads the foreign rows in these gaps. `None`: the foreign rows could not be read in time.
    fn read_gaps(&mut self, number: i32, gaps: &[Range<i64>]) -> Result<Option<Foreign>, Error> {
        let kafka = self.env.kafka;
        let (Some(reader), Some(first), Some(last)) = (kafka.table(), gaps.first(), gaps.last())
        else {
            return Ok(Some(Foreign::new()));
        };
        let (mut foreign, mut done) = (Foreign::new(), false);
        let give_up = kafka.now() + READ_TIMEOUT;
        reader.start(number, first.start)?;
        while !done && kafka.now() < give_up {
            let (mut result, mut other) = (Ok(()), None);
            reader.poll(Duration::from_millis(10), &mut |event| match event {
                TableEvent::Record(record) if record.partition == number => {
                    if gaps.iter().any(|gap| gap.contains(&record.offset))
                        && let Some(key) = record.key
                    {
                        foreign.insert(key.to_vec(), record.value.map(<[u8]>::to_vec));
                    }
                    done |= record.offset + 1 >= last.end;
                }
                TableEvent::End { partition } | TableEvent::OutOfRange { partition }
                    if partition == number =>
                {
                    done = true;
                }
                TableEvent::Record(record) => other = Some(record.partition),
                TableEvent::End { partition } | TableEvent::OutOfRange { partition } => {
                    other = Some(partition);
                }
                TableEvent::Failed(error) => result = Err(error),
            });
            result?;
            if let Some(other) = other {
                // The reader was also restoring partition `other`. Stop reading that partition, so that recovery
                // starts to read it again from its next offset.
                reader.stop(other)?;
                self.interrupted.insert(other);
            }
        }
        reader.stop(number)?;
        Ok(done.then_some(foreign))
    }
}
