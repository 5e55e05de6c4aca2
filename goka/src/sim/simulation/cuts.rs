//! Checks that each commit of the group is a cut: the rows of the changelog before the committed changelog offset are
//! the table after the committed input offsets.
//!
//! Also finds out in which partitions rows behind a cut may be kept: where another client of the group has committed
//! offsets, where a worker found offsets that are not a cut, and where compaction has removed rows. Decides that from
//! what happened in the world. Must not know what workers believe.

use std::collections::BTreeMap;

use super::{
    GROUP, INPUTS, TABLE,
    model::{self, Record, Rows},
    outside::OTHER,
    stage::{LeftBehind, Stage},
    turned,
};
use crate::{
    engine::{
        cut::{Cut, Found},
        port::Committed,
    },
    sim::kafka::CommitEntry,
};

/// What the checks know of the commits of a run: one entry for each partition.
pub(super) struct Cuts(Vec<Partition>);

/// A partition of the group.
pub(super) struct Partition {
    number: i32,
    pub(super) table: Vec<Record>,
    inputs: Vec<Vec<Record>>,
    changelog: Option<Committed>,
    offsets: [Option<i64>; INPUTS.len()],
    /// The last commit that was checked.
    checked: Option<(i64, Vec<i64>)>,
    /// The moments at which the greatest committed changelog offset so far grew, with the offset.
    highest: Vec<(u64, i64)>,
    pub(super) kept: Kept,
}

/// Why rows behind a cut may have been kept, and since which moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Another client of the group has committed an offset.
    pub(super) other: Option<u64>,
    /// A worker has fetched committed offsets that are not a cut.
    pub(super) no_cut: Option<u64>,
    /// Compaction has removed rows.
    pub(super) compacted: Option<u64>,
    /// The group has stored only a part of a commit. Until the next commit, standbys hold nothing back.
    torn: Option<u64>,
    /// Whether rows of zombies may be among those for which compaction has removed rows. The count of a key may then be
    /// too low: the row before the zombie's is gone.
    pub(super) may_lose: bool,
    /// For each key, by how much its count may be too high after the commits of another client.
    pub(super) excess: BTreeMap<Vec<u8>, u64>,
}

impl Kept {
    /// Whether rows behind a cut may have been kept before `moment`.
    pub(super) fn is_at(&self, moment: u64) -> bool {
        let reasons = [self.other, self.no_cut, self.compacted];
        reasons.into_iter().flatten().any(|since| since <= moment)
    }

    /// Whether rows behind a cut may have been kept, at any moment.
    pub(super) fn is_any(&self) -> bool {
        self.is_at(u64::MAX)
    }

    /// Whether another client is the only reason.
    pub(super) fn is_only_other(&self) -> bool {
        self.no_cut.is_none() && self.compacted.is_none()
    }
}

impl Cuts {
    /// Checks all commits of a run.
    pub(super) fn check(stage: &Stage) -> Result<Self, String> {
        let mut cuts = Vec::new();
        for number in 0..stage.partitions {
            let history = |topic: &str| {
                let history = stage.world.history(topic, number);
                history.map_err(|error| error.to_string())
            };
            let inputs: Result<Vec<_>, String> =
                INPUTS.iter().map(|topic| history(topic)).collect();
            cuts.push(Partition {
                number,
                table: history(TABLE)?,
                inputs: inputs?,
                changelog: None,
                offsets: [None; INPUTS.len()],
                checked: None,
                highest: Vec::new(),
                kept: Kept {
                    compacted: stage.compacted.borrow().get(&number).copied(),
                    ..Kept::default()
                },
            });
        }
        let commits = stage.world.commits();
        for partition in &mut cuts {
            partition.kept.may_lose =
                partition.kept.compacted.is_some() && partition.has_rows_of_zombies(&commits);
        }
        let mut cuts = Cuts(cuts);
        cuts.follow(stage)?;
        for left in &*stage.left_behind.borrow() {
            cuts.is_behind(left, stage)?;
        }
        Ok(cuts)
    }

    pub(super) fn partition(&self, number: i32) -> Result<&Partition, String> {
        let partition = self.0.iter().find(|partition| partition.number == number);
        partition.ok_or_else(|| format!("there is no partition {number}"))
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        &self.0
    }

    /// Follows the commits and the questions for committed offsets, in the order in which they happened.
    fn follow(&mut self, stage: &Stage) -> Result<(), String> {
        let (commits, asked) = (stage.world.commits(), stage.world.asked());
        let mut asked = asked.into_iter().peekable();
        for request in commits.chunk_by(|a, b| a.request == b.request) {
            let begins = request.first().map_or(0, |entry| entry.request);
            while let Some((moment, number)) = asked.next_if(|(moment, _)| *moment < begins) {
                self.asked(number, moment);
            }
            for entry in request {
                for partition in self.0.iter_mut().filter(|p| p.number == entry.partition) {
                    partition.take(entry);
                }
            }
            for partition in &mut self.0 {
                let mut entries = request.iter();
                let entry = entries.rfind(|entry| entry.partition == partition.number);
                if let Some(entry) = entry {
                    partition.check(entry, stage.schedule.exactly_once)?;
                }
            }
        }
        for (moment, number) in asked {
            self.asked(number, moment);
        }
        Ok(())
    }

    fn asked(&mut self, number: i32, moment: u64) {
        for partition in self.0.iter_mut().filter(|p| p.number == number) {
            if let Found::NotOurs(_) = partition.found() {
                partition.kept.no_cut.get_or_insert(moment);
            }
        }
    }

    /// Checks that the copies that a worker has left on its disk are not beyond the group's cut. A commit that was
    /// applied late can take the cut back, but a copy is never beyond the highest cut so far.
    fn is_behind(&self, left: &LeftBehind, stage: &Stage) -> Result<(), String> {
        if stage.schedule.exactly_once {
            // The group has the offsets of a transaction a moment later than the worker.
            return Ok(());
        }
        let LeftBehind { moment, slot, .. } = left;
        for copy in &left.copies {
            let partition = self.partition(copy.partition)?;
            let mut highest = partition.highest.iter();
            let highest = highest.rfind(|(since, _)| since <= moment);
            let highest = highest.map_or(0, |(_, offset)| *offset);
            let beyond = copy.table.max(copy.reaches);
            let is_torn = partition.kept.torn.is_some_and(|since| since <= *moment);
            if beyond > highest && !is_torn && !partition.kept.is_at(*moment) {
                return Err(format!(
                    "worker {slot} has left a copy of partition {} at offset {beyond}, and the group's cut is at \
                     {highest}",
                    copy.partition
                ));
            }
        }
        Ok(())
    }
}

impl Partition {
    fn take(&mut self, entry: &CommitEntry) {
        if *entry.topic == *TABLE {
            let highest = self.highest.last().map_or(0, |(_, offset)| *offset);
            if entry.offset > highest {
                self.highest.push((entry.moment, entry.offset));
            }
            self.changelog = Some(Committed {
                offset: entry.offset,
                metadata: entry.metadata.clone(),
            });
        }
        if let Some(input) = INPUTS.iter().position(|topic| *entry.topic == **topic) {
            self.offsets[input] = Some(entry.offset);
        }
    }

    /// Whether a worker has written a row although the last commit of the partition was another worker's, and the next
    /// one, which the row may have undone something for, is as well.
    fn has_rows_of_zombies(&self, commits: &[CommitEntry]) -> bool {
        let commits: Vec<_> = commits
            .iter()
            .filter(|commit| commit.partition == self.number)
            .collect();
        self.table.iter().any(|row| {
            let next = commits.partition_point(|commit| commit.moment < row.moment);
            let before = next.checked_sub(1).and_then(|last| commits.get(last));
            let around = before.into_iter().chain(commits.get(next));
            let is_worker = row.by.starts_with("worker-");
            is_worker && !around.into_iter().any(|commit| commit.by == row.by)
        })
    }

    fn found(&self) -> Found {
        Cut::find(
            self.changelog.as_ref(),
            INPUTS.into_iter().zip(self.offsets),
        )
    }

    /// Checks the committed offsets after a request, of which `entry` is the last offset of this partition.
    fn check(&mut self, entry: &CommitEntry, exactly_once: bool) -> Result<(), String> {
        let place = format!("{} commits partition {} of {GROUP}", entry.by, self.number);
        if *entry.by == *OTHER {
            self.kept.other.get_or_insert(entry.moment);
            self.note_excess(entry.moment);
            return Ok(());
        }
        let cut = match self.found() {
            Found::Cut(cut) => cut,
            Found::Nothing => return Ok(()),
            Found::NotOurs(_) if entry.is_torn => {
                self.kept.torn.get_or_insert(entry.moment);
                return Ok(());
            }
            Found::NotOurs(why) => return Err(format!("{place}, which is not a cut: {why}")),
        };
        let offsets: Vec<i64> = self
            .offsets
            .iter()
            .map(|offset| offset.unwrap_or(0))
            .collect();
        let now = Some((cut.changelog, offsets.clone()));
        if self.checked == now {
            return Ok(());
        }
        self.checked = now;
        let place = format!("{place} @ {offsets:?}, cut at {}", cut.changelog);
        let mut written = self.table.iter();
        let written = written.rfind(|record| record.moment < entry.moment);
        let end = written.map_or(0, |record| record.offset + 1);
        if cut.changelog > end && !exactly_once {
            return Err(format!("{place}, and the changelog ends at {end}"));
        }
        let rows = model::without_operators(model::replay(&self.table, cut.changelog));
        let expected = model::table(&self.inputs, &offsets);
        let keys = rows.keys().chain(expected.keys());
        for key in keys {
            let (row, expected) = (rows.get(key), expected.get(key));
            let is_right = match self.kept.is_at(entry.moment) {
                false => row == expected,
                true => {
                    self.kept.may_lose
                        || turned(key, None).is_some()
                        || count(row) >= count(expected)
                }
            };
            if !is_right {
                let key = String::from_utf8_lossy(key);
                let (row, expected) = (show(row), show(expected));
                return Err(format!(
                    "{place}, and the row of {key} there is {row}, but should be {expected}"
                ));
            }
        }
        Ok(())
    }

    /// Notes by how much counts are too high after a commit of another client.
    fn note_excess(&mut self, moment: u64) {
        let offsets: Vec<i64> = self
            .offsets
            .iter()
            .map(|offset| offset.unwrap_or(0))
            .collect();
        let written = self.table.iter().filter(|record| record.moment < moment);
        let written: Vec<Record> = written.cloned().collect();
        let (rows, right): (Rows, Rows) = (
            model::replay(&written, i64::MAX),
            model::table(&self.inputs, &offsets),
        );
        for (key, row) in &rows {
            let excess = count(Some(row)).saturating_sub(count(right.get(key)));
            self.kept.excess.insert(key.clone(), excess);
        }
    }
}

/// The count in a row; 0 without a row.
fn count(row: Option<&Vec<u8>>) -> u64 {
    let text = row.map(|row| String::from_utf8_lossy(row));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn show(row: Option<&Vec<u8>>) -> String {
    row.map_or("nothing".into(), |row| {
        String::from_utf8_lossy(row).into_owned()
    })
}
