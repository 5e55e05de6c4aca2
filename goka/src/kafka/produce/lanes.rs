//! Queues of records in front of librdkafka: one queue, called a lane, per topic and partition.
//!
//! An idempotent producer has one request in flight per partition. If librdkafka gets more records of the partition
//! while this request is in flight, its thread spins from the end of `linger.ms` until the request is answered: this
//! was measured to take half of all CPU time. So records wait here until all earlier records of their partition are
//! acknowledged, and are then handed over together. Batches are therefore small under low load and large under high
//! load. Must not know who sends.

use std::time::Duration;

use crate::base::record::{OwnedHeaders, headers_size};

/// The longest time during which records of a lane are handed over in one burst. It is less than `linger.ms`, so that
/// the burst becomes one request; records that were handed over later would wait for the answer to that request.
const BURST_TIME: Duration = Duration::from_micros(600);
const BURST_BYTES: usize = 900_000;
/// How many records are handed over between two readings of the clock.
const RECORDS_PER_LOOK: usize = 128;
/// How many records may wait in one lane. If that many wait, the sender gets back-pressure.
const LANE_RECORDS: usize = 4_000;
/// How many records may wait for the next transaction, in all lanes together. This is the number of records that are
/// handled while a transaction is committed.
const HELD_RECORDS: usize = 60_000;
/// How many bytes may wait in all lanes together.
const ALL_BYTES: usize = 16 << 20;

/// The lanes of a producer.
pub(crate) struct Lanes {
    /// The lanes, indexed by target and then by partition.
    lanes: Vec<Vec<Lane>>,
    /// How many records may wait in one lane.
    records_max: usize,
    /// How many bytes may wait in all lanes together.
    bytes_max: usize,
    /// How many bytes wait in all lanes together.
    bytes: usize,
    /// Target and partition of each lane that may hand over records.
    ready: Vec<(usize, i32)>,
    /// Whether a line is drawn between earlier and later records: later records wait until the line is lifted, while
    /// earlier records are still handed over.
    is_held: bool,
    /// How many records wait after the line, in all lanes together.
    held_records: usize,
    /// The last time at which the sender was known to own its partitions. No record that waits counts as older than
    /// this, see [`Lanes::proven`].
    proven_at: Duration,
}

/// The records of one partition that wait, and the number of those in flight.
#[derive(Default)]
struct Lane {
    /// Number of records that librdkafka has and has not reported yet.
    in_flight: usize,
    /// Records that are being gathered for a later burst.
    filling: Batch,
    /// Records that were gathered earlier, and are handed over burst by burst.
    leaving: Batch,
    /// Records that were sent after the line was drawn.
    held: Batch,
}

#[derive(Default)]
struct Batch {
    records: Vec<Waiting>,
    /// Index of the first record that has not been handed over.
    head: usize,
    bytes: Vec<u8>,
    /// Number of bytes of all headers.
    header_bytes: usize,
    /// The time at which the first record came.
    since: Duration,
}

/// A record that waits. Its key, followed by its value, is in the bytes of its batch from `start` on.
struct Waiting {
    start: usize,
    /// Length of the key, or [`NULL`].
    key: u32,
    value: u32,
    timestamp: i64,
    /// `None` if the record has no headers, like most records.
    headers: Option<Box<OwnedHeaders>>,
    opaque: usize,
}

/// The length that stands for a null key or value. No record is that long: `message.max.bytes` is at most 1 GB.
const NULL: u32 = u32::MAX;

/// A record without its topic and partition.
pub(crate) struct Lone<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    pub(crate) opaque: usize,
}

/// How a record that is sent gets to librdkafka.
pub(crate) enum Way {
    /// The caller hands the record to librdkafka now.
    Free,
    /// The lane has taken the record, which waits there.
    Waits,
    /// The lane is full, and has not taken the record.
    Full,
}

/// What happened to a record that was handed over.
pub(crate) enum Left {
    /// librdkafka has taken the record.
    Sent,
    /// librdkafka's queue is full. The record waits until it is handed over again.
    Full,
    /// The record failed, and was reported as failed.
    Failed,
}

impl Lanes {
    /// Makes one lane per partition of each topic. The bounds of librdkafka's queue, `records_max` and `bytes_max`,
    /// apply where they are smaller than the bounds in this file.
    pub(crate) fn new(
        partitions: impl Iterator<Item = i32>,
        records_max: usize,
        bytes_max: usize,
    ) -> Self {
        let lanes = |count: i32| (0..count).map(|_| Lane::default()).collect();
        Lanes {
            lanes: partitions.map(lanes).collect(),
            records_max: records_max.min(LANE_RECORDS),
            bytes_max: bytes_max.min(ALL_BYTES),
            bytes: 0,
            ready: Vec::new(),
            is_held: false,
            held_records: 0,
            proven_at: Duration::ZERO,
        }
    }

    /// Notes that the sender owned its partitions at the time `at`. No record that waits counts as older than this
    /// time, so that records do not time out because a handler blocks the thread.
    pub(crate) fn proven(&mut self, at: Duration) {
        self.proven_at = at;
    }

    /// Draws the line: records that are sent from now on wait until [`Lanes::release`].
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether the sender should send no more records before the line is lifted.
    pub(crate) fn is_full_behind_line(&self) -> bool {
        self.is_held && (self.held_records >= HELD_RECORDS || self.bytes >= self.bytes_max)
    }

    /// Lifts the line. All records from before the line must have been reported.
    pub(crate) fn release(&mut self) {
        self.is_held = false;
        self.held_records = 0;
        for (target, lanes) in self.lanes.iter_mut().enumerate() {
            for (partition, lane) in (0..).zip(lanes) {
                if lane.held.records.is_empty() {
                    continue;
                }
                debug_assert!(
                    lane.is_empty(),
                    "held records must not be sent before all earlier records are acknowledged or have failed"
                );
                std::mem::swap(&mut lane.filling, &mut lane.held);
                self.ready.push((target, partition));
            }
        }
    }

    fn lane(&mut self, target: usize, partition: i32) -> Option<&mut Lane> {
        let partition = usize::try_from(partition).ok()?;
        self.lanes.get_mut(target)?.get_mut(partition)
    }

    /// Queues a record if another record of its lane waits or is in flight, or if the line is drawn. A record for
    /// which there is no lane is `Free`: librdkafka refuses it.
    pub(crate) fn send(
        &mut self,
        target: usize,
        partition: i32,
        record: &Lone<'_>,
        clock: fn() -> Duration,
    ) -> Way {
        let (is_full, records_max) = (self.bytes >= self.bytes_max, self.records_max);
        let is_held = self.is_held;
        let Some(lane) = self.lane(target, partition) else {
            return Way::Free;
        };
        if is_held {
            // A lane is never `Full` for records after the line, because the line is lifted only after the sender has
            // made progress.
            self.bytes += lane.held.push(record, clock);
            self.held_records += 1;
            return Way::Waits;
        }
        if lane.in_flight == 0 && lane.is_empty() {
            return Way::Free;
        }
        if is_full || lane.filling.records.len() >= records_max {
            return Way::Full;
        }
        self.bytes += lane.filling.push(record, clock);
        Way::Waits
    }

    /// Counts a `Free` record as in flight, after it was handed to librdkafka.
    pub(crate) fn sent(&mut self, target: usize, partition: i32) {
        if let Some(lane) = self.lane(target, partition) {
            lane.in_flight += 1;
        }
    }

    /// Counts this number of delivery reports of a lane. When no record of the lane is in flight any more, its waiting
    /// records may go.
    pub(crate) fn reported(&mut self, target: usize, partition: i32, records: usize) {
        if let Some(lane) = self.lane(target, partition) {
            lane.in_flight = lane.in_flight.saturating_sub(records);
            if lane.in_flight == 0 && !lane.is_empty() {
                self.ready.push((target, partition));
            }
        }
    }

    /// Hands over the records of lanes that are ready. `go` is called with target, partition and record, and with
    /// whether the record has waited longer than `age_max` and must fail.
    pub(crate) fn let_go(
        &mut self,
        clock: fn() -> Duration,
        age_max: Duration,
        go: &mut dyn FnMut(usize, i32, &Lone<'_>, bool) -> Left,
    ) {
        let proven_at = self.proven_at;
        for (target, partition) in std::mem::take(&mut self.ready) {
            let Some(lane) = self.lane(target, partition) else {
                continue;
            };
            let before = lane.size();
            lane.let_go(clock, (proven_at, age_max), &mut |record, is_old| {
                go(target, partition, record, is_old)
            });
            let (after, again) = (lane.size(), lane.in_flight == 0 && !lane.is_empty());
            self.bytes -= before - after;
            if again {
                self.ready.push((target, partition));
            }
        }
    }

    /// Gives up all records that wait, and passes their opaque numbers to `gone`. A line that is drawn remains.
    pub(crate) fn clear(&mut self, mut gone: impl FnMut(usize)) {
        for lane in self.lanes.iter_mut().flatten() {
            for batch in [&mut lane.leaving, &mut lane.filling, &mut lane.held] {
                batch.records[batch.head..]
                    .iter()
                    .for_each(|record| gone(record.opaque));
                batch.clear();
            }
        }
        self.bytes = 0;
        self.held_records = 0;
        self.ready.clear();
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.filling.records.is_empty() && self.leaving.records.is_empty()
    }

    fn size(&self) -> usize {
        self.filling.size() + self.leaving.size()
    }

    fn let_go(
        &mut self,
        clock: fn() -> Duration,
        (proven_at, age_max): (Duration, Duration),
        go: &mut dyn FnMut(&Lone<'_>, bool) -> Left,
    ) {
        let (mut records, mut bytes) = (0, 0);
        let began = clock();
        loop {
            if self.leaving.records.is_empty() {
                std::mem::swap(&mut self.leaving, &mut self.filling);
            }
            let since = self.leaving.since.max(proven_at);
            let is_old = began.saturating_sub(since) > age_max;
            let Some(record) = self.leaving.next() else {
                return;
            };
            let look = records > 0 && records % RECORDS_PER_LOOK == 0;
            let is_over = look && clock().saturating_sub(began) >= BURST_TIME;
            if !is_old && (is_over || bytes >= BURST_BYTES) {
                return;
            }
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            match go(&record, is_old) {
                Left::Sent => {
                    self.in_flight += 1;
                    records += 1;
                }
                Left::Failed => {}
                Left::Full => return,
            }
            self.leaving.pop();
        }
    }
}

impl Batch {
    /// Adds a record and returns the number of bytes that the record takes.
    fn push(&mut self, record: &Lone<'_>, clock: fn() -> Duration) -> usize {
        if self.records.is_empty() {
            self.since = clock();
        }
        let (before, start) = (self.size(), self.bytes.len());
        let mut copy = |bytes: Option<&[u8]>| {
            let Some(bytes) = bytes else { return NULL };
            self.bytes.extend_from_slice(bytes);
            bytes.len() as u32
        };
        let (key, value) = (copy(record.key), copy(record.value));
        let headers = record.headers;
        if !headers.is_empty() {
            self.header_bytes += headers_size(headers);
        }
        self.records.push(Waiting {
            start,
            key,
            value,
            timestamp: record.timestamp,
            headers: (!headers.is_empty()).then(|| Box::new(headers.clone())),
            opaque: record.opaque,
        });
        self.size() - before
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.header_bytes
    }

    fn next(&self) -> Option<Lone<'_>> {
        let record = self.records.get(self.head)?;
        let mut end = record.start;
        let mut of = |len: u32| {
            (len != NULL).then(|| {
                let start = end;
                end += len as usize;
                &self.bytes[start..end]
            })
        };
        let (key, value) = (of(record.key), of(record.value));
        Some(Lone {
            key,
            value,
            timestamp: record.timestamp,
            headers: record.headers.as_deref().unwrap_or(&NO_HEADERS),
            opaque: record.opaque,
        })
    }

    fn pop(&mut self) {
        self.head += 1;
        if self.head == self.records.len() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.header_bytes = 0;
        self.head = 0;
    }
}

static NO_HEADERS: OwnedHeaders = Vec::new();
