//! Records on their way to librdkafka, one lane per topic and partition.
//!
//! An idempotent producer has one request in the air per partition. What librdkafka is given
//! meanwhile makes its thread spin as soon as `linger.ms` is over, until the request is answered:
//! half of all CPU time, measured. So records wait here while their partition's last ones are not
//! acknowledged, and then go together: small batches when there is little to do, large ones when
//! there is much. Must not know who sends.

use std::time::Duration;

use crate::base::record::{OwnedHeaders, headers_size};

/// For so long records of a lane are handed over at a time: less than `linger.ms`, so that they
/// become one request. What came later would have to wait for its answer.
const BURST_TIME: Duration = Duration::from_micros(600);
const BURST_BYTES: usize = 900_000;
/// How often the clock is looked at meanwhile.
const RECORDS_PER_LOOK: usize = 128;
/// Records of one lane that wait to be gathered: more is back-pressure.
const LANE_RECORDS: usize = 4_000;
/// Records behind a line, of all lanes together: as many as come while a transaction is committed.
const HELD_RECORDS: usize = 60_000;
/// Bytes that wait in all lanes together.
const ALL_BYTES: usize = 16 << 20;

/// Lanes by topic and partition.
pub(crate) struct Lanes {
    lanes: Vec<Vec<Lane>>,
    /// How many may wait in one lane, and how many bytes in all.
    records_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// Lanes whose turn it is.
    ready: Vec<(usize, i32)>,
    /// A line was drawn: what comes now waits until it is lifted, and what came before goes on.
    is_held: bool,
    /// How many wait behind it.
    held_records: usize,
    /// Whatever waits may go at this time, see [`Lanes::proven`].
    proven_at: Duration,
}

/// The records of one partition.
#[derive(Default)]
struct Lane {
    /// With librdkafka, not reported yet.
    in_flight: usize,
    /// What is gathered.
    filling: Batch,
    /// What was gathered before, and goes burst by burst.
    leaving: Batch,
    /// What came behind the line.
    held: Batch,
}

#[derive(Default)]
struct Batch {
    records: Vec<Waiting>,
    /// The first of `records` that has not left.
    head: usize,
    bytes: Vec<u8>,
    /// That its headers take.
    header_bytes: usize,
    /// When the first of them came.
    since: Duration,
}

/// A record that waits: its key, and its value behind it, stand in the bytes of its batch.
struct Waiting {
    start: usize,
    /// [`NULL`], or how long it is.
    key: u32,
    value: u32,
    timestamp: i64,
    /// Most have none, and then none are kept.
    headers: Option<Box<OwnedHeaders>>,
    opaque: usize,
}

/// The length of what is null. A record is shorter: `message.max.bytes` is at most 1 GB.
const NULL: u32 = u32::MAX;

/// A record without its topic and partition.
pub(crate) struct Lone<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a OwnedHeaders,
    pub(crate) opaque: usize,
}

/// What becomes of a record that is sent.
pub(crate) enum Way {
    /// It may go at once.
    Free,
    /// It waits for its turn.
    Waits,
    /// There is no room for it to wait.
    Full,
}

/// Whose turn it is, and how it ended.
pub(crate) enum Left {
    /// It is on its way.
    Sent,
    /// There was no room for it: later.
    Full,
    /// It never will be; this was reported.
    Failed,
}

impl Lanes {
    /// As many lanes as each topic has partitions. The bounds are those of librdkafka's own queue,
    /// if they are smaller than ours.
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

    /// Who sends was its partitions' owner at this time: what waits is not older than that. Else it would be
    /// too old behind a handler that keeps the thread.
    pub(crate) fn proven(&mut self, at: Duration) {
        self.proven_at = at;
    }

    /// What comes from now on waits until [`Lanes::release`].
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether no more should be sent before the line is lifted.
    pub(crate) fn is_full_behind_line(&self) -> bool {
        self.is_held && (self.held_records >= HELD_RECORDS || self.bytes >= self.bytes_max)
    }

    /// Nothing that came before the line is left: it is the turn of what came behind it.
    pub(crate) fn release(&mut self) {
        self.is_held = false;
        self.held_records = 0;
        for (target, lanes) in self.lanes.iter_mut().enumerate() {
            for (partition, lane) in (0..).zip(lanes) {
                if lane.held.records.is_empty() {
                    continue;
                }
                debug_assert!(lane.is_empty(), "a line is lifted when all before it went");
                std::mem::swap(&mut lane.filling, &mut lane.held);
                self.ready.push((target, partition));
            }
        }
    }

    fn lane(&mut self, target: usize, partition: i32) -> Option<&mut Lane> {
        let partition = usize::try_from(partition).ok()?;
        self.lanes.get_mut(target)?.get_mut(partition)
    }

    /// Takes a record, unless nothing of its lane waits or is in the air. One without a lane may go: it
    /// will be refused.
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
            // There is room behind the line, for who has to come first to lift it is the sender.
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

    /// One went at once.
    pub(crate) fn sent(&mut self, target: usize, partition: i32) {
        if let Some(lane) = self.lane(target, partition) {
            lane.in_flight += 1;
        }
    }

    /// So many were reported. After the last one in the air, it is the turn of those that wait.
    pub(crate) fn reported(&mut self, target: usize, partition: i32, records: usize) {
        if let Some(lane) = self.lane(target, partition) {
            lane.in_flight = lane.in_flight.saturating_sub(records);
            if lane.in_flight == 0 && !lane.is_empty() {
                self.ready.push((target, partition));
            }
        }
    }

    /// Lets those go whose turn it is. `go` gets topic, partition, record, and whether it has waited
    /// longer than `age_max`: then it must fail.
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

    /// Every record that waits is given up. A line stays.
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
    /// Gives how many bytes it took.
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
