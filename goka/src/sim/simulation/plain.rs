//! A minimal worker, with which tests show that the simulation finds faults.
//!
//! The worker processes one record after another, and commits each record before the next: slow, and obviously
//! correct. With a [`Flaw`] the worker is incorrect, and the simulation has to fail. Must not use the engine.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use super::{Copy, Driven, INPUTS};
use crate::{
    base::{
        error::Error,
        index::{EdgeIx, SourceIx},
        record::{OwnedHeaders, Record},
    },
    engine::port::{
        CommitError, Event, Kafka, Log, Outgoing, Position, SendError, Step, TableEvent,
    },
    sim::kafka::{Connection, World},
};

/// A fault that a plain worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Offsets are committed before the records are delivered.
    CommitsEarly,
    /// The local copy is written before the records are delivered.
    StoresEarly,
    /// Records are processed without reading the changelog first.
    SkipsReplay,
    /// A record is treated as delivered although its delivery failed.
    IgnoresFailures,
    /// Records are processed without checking that the worker still owns the partition.
    TrustsItself,
    /// Offsets are committed for partitions that the worker has given back.
    CommitsForeign,
}

pub(super) const FLAWS: [Flaw; 6] = [
    Flaw::CommitsEarly,
    Flaw::StoresEarly,
    Flaw::SkipsReplay,
    Flaw::IgnoresFailures,
    Flaw::TrustsItself,
    Flaw::CommitsForeign,
];

/// Indexes of the output topics.
const TABLE_TARGET: usize = 2;
const ECHO_TARGET: usize = 3;

/// The disk of a slot: for each partition, the local copy and the next offset of each input.
type Disk = Rc<RefCell<BTreeMap<i32, (Copy, Vec<i64>)>>>;

/// Creates plain workers.
pub(super) struct Rig {
    flaw: Flaw,
    disks: BTreeMap<usize, Disk>,
}

impl Rig {
    pub(super) fn new(flaw: Flaw) -> Self {
        let disks = BTreeMap::new();
        Rig { flaw, disks }
    }
}

impl super::Rig for Rig {
    fn start(
        &mut self,
        slot: usize,
        _world: &World,
        kafka: Connection,
    ) -> Result<Box<dyn Driven>, Error> {
        Ok(Box::new(Plain {
            kafka: Box::new(kafka),
            flaw: self.flaw,
            disk: Rc::clone(self.disks.entry(slot).or_default()),
            partitions: BTreeMap::new(),
        }))
    }

    fn wipe(&mut self, slot: usize) {
        self.disks.remove(&slot);
    }

    fn copies(&self, slot: usize) -> Result<Vec<Copy>, Error> {
        let Some(disk) = self.disks.get(&slot) else {
            return Ok(Vec::new());
        };
        let disk = disk.borrow();
        Ok(disk.values().map(|(copy, _)| copy.clone()).collect())
    }
}

struct Plain {
    kafka: Box<dyn Kafka>,
    flaw: Flaw,
    disk: Disk,
    /// The partitions of the worker: the next offset of each input, or `None` before the partition is recovered.
    partitions: BTreeMap<i32, Option<Vec<i64>>>,
}

/// Whether a step was done. `false` if it could not be done, because the worker may have lost the partition.
type Done = Result<bool, Error>;

impl Driven for Plain {
    fn turn(&mut self) -> Result<(), Error> {
        let waiting = |(number, running): (&i32, &Option<_>)| running.is_none().then_some(*number);
        let waiting: Vec<i32> = self.partitions.iter().filter_map(waiting).collect();
        for number in waiting {
            self.recover(number)?;
        }
        for _ in 0..10 {
            let mut events = Vec::new();
            self.kafka.poll(Duration::from_millis(5), &mut |event| {
                events.push(Owned::of(event));
            });
            if events.is_empty() {
                break;
            }
            for event in events {
                match event {
                    Owned::Record(number, source, offset, key) => {
                        self.handle(number, source, offset, &key)?;
                    }
                    Owned::Assigned(numbers) => {
                        self.partitions.extend(numbers.iter().map(|n| (*n, None)));
                    }
                    Owned::Revoked(numbers) => self.give_back(&numbers)?,
                    Owned::Failed(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.kafka.close();
        Ok(())
    }
}

impl Plain {
    fn recover(&mut self, number: i32) -> Result<(), Error> {
        let Ok(committed) = self.kafka.committed(number) else {
            return Ok(());
        };
        let (mut copy, mut positions) = {
            let mut disk = self.disk.borrow_mut();
            let new = || (Copy::new(number), vec![0; INPUTS.len()]);
            disk.entry(number).or_insert_with(new).clone()
        };
        for (position, committed) in positions.iter_mut().zip(committed.sources) {
            *position = committed.map_or(0, |c| c.offset).max(*position);
        }
        if self.flaw != Flaw::SkipsReplay && !self.replay(number, &mut copy)? {
            return Ok(());
        }
        let kept = (copy, positions.clone());
        self.disk.borrow_mut().insert(number, kept);
        self.kafka.reached(Step::Replaying)?;
        if self.commit(number, &positions)? {
            self.kafka.assign(number, &positions)?;
            self.partitions.insert(number, Some(positions));
        }
        Ok(())
    }

    fn replay(&self, number: i32, copy: &mut Copy) -> Done {
        let Some(table) = self.kafka.table() else {
            return Ok(true);
        };
        table.start(number, copy.table)?;
        let mut done = false;
        while !done {
            let some = table.poll(Duration::from_millis(50), &mut |event| match event {
                TableEvent::Record(record) => copy.take(&record),
                _ => done = true,
            });
            if !some {
                break;
            }
        }
        table.stop(number)?;
        Ok(done)
    }

    fn handle(&mut self, number: i32, source: usize, offset: i64, key: &[u8]) -> Result<(), Error> {
        let Some(Some(positions)) = self.partitions.get(&number) else {
            return Ok(());
        };
        let mut positions = positions.clone();
        if offset < positions[source] {
            return Ok(());
        }
        // The worker commits the offsets that are already committed: only the owner's commit succeeds.
        if self.flaw != Flaw::TrustsItself && !self.commit(number, &positions)? {
            return self.begin_again(number);
        }
        positions[source] = offset + 1;
        let Some((mut copy, _)) = self.disk.borrow().get(&number).cloned() else {
            return Ok(());
        };
        let count = copy
            .rows
            .get(key)
            .and_then(|row| String::from_utf8_lossy(row).parse().ok());
        let count = (count.unwrap_or(0) + 1).to_string();
        let echo = format!("{source}/{number}/{offset}");
        self.send(TABLE_TARGET, number, key, &count)?;
        self.send(ECHO_TARGET, number, key, &echo)?;
        copy.rows.insert(key.to_vec(), count.into_bytes());
        if self.flaw == Flaw::StoresEarly {
            copy.table += 1;
            copy.reaches = copy.table;
            let kept = (copy.clone(), positions.clone());
            self.disk.borrow_mut().insert(number, kept);
        }
        if self.flaw == Flaw::CommitsEarly && !self.commit(number, &positions)? {
            return self.begin_again(number);
        }
        self.kafka.reached(Step::Handled)?;
        let row = self.wait_for_reports();
        let in_place = self.flaw == Flaw::StoresEarly || row == Some(copy.table);
        if !in_place && self.flaw != Flaw::IgnoresFailures {
            return self.begin_again(number);
        }
        self.kafka.reached(Step::Delivered)?;
        copy.table = row.map_or(copy.table, |row| row + 1);
        copy.reaches = copy.table;
        let kept = (copy, positions.clone());
        self.disk.borrow_mut().insert(number, kept);
        self.partitions.insert(number, Some(positions.clone()));
        self.kafka.reached(Step::Stored)?;
        if !self.commit(number, &positions)? {
            return self.begin_again(number);
        }
        self.kafka.reached(Step::Committed)
    }

    fn send(&self, target: usize, partition: i32, key: &[u8], value: &str) -> Result<(), Error> {
        let record = Outgoing {
            target: EdgeIx::new(target),
            partition,
            key: Some(key),
            value: Some(value.as_bytes()),
            timestamp: self.kafka.wall_ms(),
            headers: &OwnedHeaders::new(),
            tag: u32::from(target == TABLE_TARGET),
        };
        match self.kafka.send(&record) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => Err(Error::Closed("a queue that is never filled")),
            Err(SendError::Refused(error)) => Err(error),
        }
    }

    /// Waits for all delivery reports. Returns the offset of the row, or `None` if a delivery failed.
    fn wait_for_reports(&self) -> Option<i64> {
        let (mut row, mut failed) = (None, false);
        while self.kafka.in_flight() > 0 {
            self.kafka
                .serve(Duration::from_secs(1), &mut |report| match report.result {
                    Ok(offset) if report.tag == 1 => row = Some(offset),
                    result => failed |= result.is_err(),
                });
        }
        row.filter(|_| !failed)
    }

    fn commit(&self, partition: i32, positions: &[i64]) -> Done {
        let positions = positions.iter().enumerate();
        let positions = positions.map(|(source, &offset)| Position {
            log: Log::Source(SourceIx::new(source)),
            partition,
            offset,
            metadata: "plain".into(),
        });
        match self.kafka.commit(&positions.collect::<Vec<_>>()) {
            Ok(()) => Ok(true),
            Err(CommitError::Again(_) | CommitError::NotMember(_) | CommitError::Denied(_)) => {
                Ok(false)
            }
        }
    }

    /// Unassigns a partition and forgets its positions, so that its changelog is read again before further records.
    fn begin_again(&mut self, number: i32) -> Result<(), Error> {
        self.partitions.insert(number, None);
        self.kafka.unassign(number)
    }

    fn give_back(&mut self, numbers: &[i32]) -> Result<(), Error> {
        for number in numbers {
            self.kafka.unassign(*number)?;
        }
        self.kafka.released(numbers)?;
        for number in numbers {
            let positions = self.partitions.remove(number).flatten();
            if let Some(positions) = positions
                && self.flaw == Flaw::CommitsForeign
            {
                self.commit(*number, &positions)?;
            }
        }
        self.kafka.reached(Step::Released)
    }
}

impl Copy {
    fn new(partition: i32) -> Self {
        Copy {
            partition,
            table: 0,
            reaches: 0,
            whole_from: i64::MAX,
            rows: BTreeMap::new(),
        }
    }

    fn take(&mut self, record: &Record<'_>) {
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) => self.rows.insert(key, value.to_vec()),
            None => self.rows.remove(&key),
        };
        self.table = record.offset + 1;
        self.reaches = self.table;
    }
}

/// A copy of an event that outlives the poll of the event.
enum Owned {
    /// The partition, source, offset and key.
    Record(i32, usize, i64, Vec<u8>),
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Failed(Error),
}

impl Owned {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Record { source, record } => {
                let key = record.key.unwrap_or_default().to_vec();
                Owned::Record(record.partition, source.index(), record.offset, key)
            }
            Event::Assigned(numbers) => Owned::Assigned(numbers),
            Event::Revoked { partitions, .. } => Owned::Revoked(partitions),
            Event::OutOfRange { .. } => Owned::Failed(Error::Closed("the requested offset")),
            Event::Failed(error) => Owned::Failed(error),
        }
    }
}
