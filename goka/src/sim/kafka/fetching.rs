//! The fetches of a consumer: the positions of its partitions, and records that are fetched but not yet returned. Must
//! not know groups.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use super::{
    chance::Chance,
    log::{Topics, Written},
};

/// The result of a fetch.
pub(super) enum Fetched {
    Record(usize, i32, Rc<Written>),
    OutOfRange(usize, i32),
}

#[derive(Default)]
pub(super) struct Fetching {
    /// For each partition, the next offset of each source; `None` after an offset that was out of range.
    positions: BTreeMap<i32, Vec<Option<i64>>>,
    /// Records that were fetched before their partition was unassigned, and are returned later.
    late: VecDeque<(usize, i32, Rc<Written>)>,
}

impl Fetching {
    pub(super) fn assign(&mut self, partition: i32, offsets: &[i64]) {
        self.late.retain(|(_, late, _)| *late != partition);
        let offsets = offsets.iter().map(|offset| Some(*offset)).collect();
        self.positions.insert(partition, offsets);
    }

    /// Stops fetching a partition. A few of its records may already have been fetched; they are returned later.
    pub(super) fn unassign(
        &mut self,
        partition: i32,
        sources: &[Rc<str>],
        topics: &Topics,
        chance: &mut Chance,
    ) {
        for _ in 0..chance.below(4) {
            let fetched = self.fetch_from(partition, sources, topics, chance);
            if let Some(Fetched::Record(source, partition, record)) = fetched {
                self.late.push_back((source, partition, record));
            }
        }
        self.positions.remove(&partition);
    }

    pub(super) fn fetch(
        &mut self,
        sources: &[Rc<str>],
        topics: &Topics,
        chance: &mut Chance,
    ) -> Option<Fetched> {
        if let Some((source, partition, record)) = self.late.pop_front() {
            return Some(Fetched::Record(source, partition, record));
        }
        let mut partitions: Vec<i32> = self.positions.keys().copied().collect();
        let first = chance.index(partitions.len());
        partitions.rotate_left(first);
        partitions
            .into_iter()
            .find_map(|partition| self.fetch_from(partition, sources, topics, chance))
    }

    /// Fetches a record from any source. The records of one source come in order; the order of the sources is random.
    fn fetch_from(
        &mut self,
        partition: i32,
        sources: &[Rc<str>],
        topics: &Topics,
        chance: &mut Chance,
    ) -> Option<Fetched> {
        let positions = self.positions.get_mut(&partition)?;
        let first = chance.index(sources.len());
        for source in (first..sources.len()).chain(0..first) {
            let Some(next) = positions.get(source).copied().flatten() else {
                continue;
            };
            let Ok(log) = topics.log(&sources[source], partition) else {
                continue;
            };
            let (start, end) = (log.bounds().0, log.end());
            if next < start || next > end {
                positions[source] = None;
                return Some(Fetched::OutOfRange(source, partition));
            }
            if let Some(record) = log.read(next) {
                positions[source] = Some(record.offset + 1);
                return Some(Fetched::Record(source, partition, Rc::clone(record)));
            }
        }
        None
    }
}
