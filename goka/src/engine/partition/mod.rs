//! One partition of a group at one worker: its rows, where it stands, and what it is doing.
//!
//! A partition is settling → asking for offsets → replaying → claiming → running. Whatever goes
//! wrong drops what is not committed and sends it back to settling.

pub(crate) mod ledger;
mod overlay;
pub(crate) mod rows;

use std::{
    collections::{BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use crate::{
    engine::{
        handling::{deferred::Deferrals, policy::Trouble},
        partition::rows::Rows,
        port::Committed,
        program::{OwnedRecord, Waiting},
        recovery::replay::Replay,
        replica::{Lease, Wanted},
    },
    store::Store,
};

/// Records kept for a partition whose handler is waiting, before its inputs are unassigned.
const BACKLOG_RECORDS: usize = 512;
/// The same in bytes.
const BACKLOG_BYTES: usize = 4 << 20;

pub(crate) struct Partition {
    pub(crate) number: i32,
    pub(crate) phase: Phase,
    pub(crate) rows: Rc<Rows>,
    /// `None` for a group without a table, and while it is not open yet.
    pub(crate) store: Option<Store>,
    /// The right to it, where it is a standby's else. Behind it, to be dropped after it.
    pub(crate) lease: Option<Lease>,
    /// The joined tables are kept here as long as it is.
    pub(crate) wanted: Vec<Wanted>,
    /// Next offset to take from each source.
    pub(crate) fetched: Vec<i64>,
    /// The interval that takes records now.
    pub(crate) open: Interval,
    /// The interval that waits for its delivery reports.
    pub(crate) closing: Option<Interval>,
    /// Which half of the ledger the open interval uses.
    pub(crate) parity: usize,
    /// Positions that are safe: everything before them is delivered. The local copy may be behind.
    pub(crate) settled: Vec<i64>,
    /// Whether the group does not have them yet.
    pub(crate) uncommitted: bool,
    /// Next offset of the table's topic, behind the rows that belong to these positions.
    pub(crate) table: i64,
    /// Whether the local copy lacks some of what is settled.
    pub(crate) unstored: bool,
    /// When the local copy was written last.
    pub(crate) stored_at: Duration,
    /// A handler that waits, with the record it handles.
    pub(crate) waiting: Option<(Waiting, Origin, Rc<OwnedRecord>)>,
    /// A record that is to be handled again.
    pub(crate) trouble: Option<Trouble>,
    /// Records behind it.
    pub(crate) backlog: VecDeque<OwnedRecord>,
    backlog_bytes: usize,
    /// The inputs were unassigned until the backlog is worked off.
    pub(crate) held: bool,
    /// What handlers deferred, and what stands behind it.
    pub(crate) deferrals: Deferrals,
    /// How far the visit of its rows has come, with what is not settled yet.
    pub(crate) visited: Visited,
    /// The same, settled.
    pub(crate) visited_settled: Visited,
    /// Sources whose next record was not there: where they go on is chosen when it runs again.
    pub(crate) out_of_range: BTreeSet<usize>,
    /// How often what was not committed was dropped.
    pub(crate) drops: u64,
    /// How often it was abandoned for a failed delivery since its last interval that was settled.
    pub(crate) failures: u32,
    /// Why the first of them was.
    pub(crate) failed_first: Option<Box<str>>,
    /// How often it found no room on the disk since it was stored last, and until when it rests for that.
    pub(crate) rests: u32,
    pub(crate) rests_until: Duration,
}

/// What a partition is doing.
pub(crate) enum Phase {
    /// Waiting for the reports of what was sent before.
    Settling,
    /// Asking the group where it stands, at this time.
    Asking { at: Duration },
    /// Reading the table's topic into the local copy, or about to.
    Replaying {
        committed: Vec<Option<Committed>>,
        replay: Replay,
        started: bool,
    },
    /// Telling the group that it is ours, at this time.
    Claiming {
        committed: Vec<Option<Committed>>,
        at: Duration,
    },
    /// Handling records.
    Running,
}

/// A commit interval: records from one commit to the next.
#[derive(Clone, Default)]
pub(crate) struct Interval {
    pub(crate) records: u64,
    /// When its first record was handled.
    pub(crate) began: Duration,
    /// That of its last record, milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Next offset of each source, behind what was handled.
    pub(crate) positions: Vec<i64>,
    /// How far the visit of the partition's rows has come at its end.
    pub(crate) visited: Visited,
}

/// What caused effects: a record of a source, or the visit of a row.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) partition: i32,
    pub(crate) by: By,
    /// -1: a visit.
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    /// How often it has failed before.
    pub(crate) attempts: u32,
}

/// Which source, or which visit.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Source(usize),
    Visit(u64),
}

/// What is needed of a record once it was handled.
pub(crate) struct Cause {
    pub(crate) origin: Origin,
    pub(crate) key: Option<Vec<u8>>,
}

/// How far a visit has come in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visited {
    /// Which visit.
    pub(crate) visit: u64,
    /// The last key that was visited.
    pub(crate) key: Option<Vec<u8>>,
    /// How many were.
    pub(crate) keys: u64,
}

impl Visited {
    /// One more, unless it is of a visit that was given up.
    pub(crate) fn advance(&mut self, visit: u64, key: &[u8]) {
        if self.visit != visit {
            return;
        }
        let last = self.key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        self.keys += 1;
    }
}

impl Partition {
    pub(crate) fn new(number: i32) -> Self {
        Partition {
            number,
            phase: Phase::Settling,
            rows: Rc::default(),
            store: None,
            lease: None,
            wanted: Vec::new(),
            fetched: Vec::new(),
            open: Interval::default(),
            closing: None,
            parity: 0,
            settled: Vec::new(),
            uncommitted: false,
            table: 0,
            unstored: false,
            stored_at: Duration::ZERO,
            waiting: None,
            trouble: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            held: false,
            deferrals: Deferrals::default(),
            visited: Visited::default(),
            visited_settled: Visited::default(),
            out_of_range: BTreeSet::new(),
            drops: 0,
            failures: 0,
            failed_first: None,
            rests: 0,
            rests_until: Duration::ZERO,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether a record is the next one, and not left over from before the inputs were unassigned.
    pub(crate) fn takes(&self, source: usize, offset: i64) -> bool {
        self.is_running() && !self.held && offset >= self.fetched[source]
    }

    /// Begins to run at these positions.
    pub(crate) fn run_from(&mut self, positions: Vec<i64>) {
        self.fetched.clone_from(&positions);
        self.settled.clone_from(&positions);
        self.open = Interval {
            positions,
            ..Interval::default()
        };
        self.closing = None;
        (self.uncommitted, self.unstored) = (false, false);
        self.phase = Phase::Running;
    }

    /// The open interval becomes the closing one, and a new one is opened.
    pub(crate) fn close_interval(&mut self) {
        let positions = self.open.positions.clone();
        let next = Interval {
            positions,
            ..Interval::default()
        };
        self.open.visited.clone_from(&self.visited);
        self.closing = Some(std::mem::replace(&mut self.open, next));
        self.rows.close_interval();
        self.parity ^= 1;
    }

    /// Nothing of the interval that was closing can fail any more.
    pub(crate) fn settled(&mut self, interval: Interval) {
        match self.store {
            Some(_) => self.rows.settle(),
            None => self.rows.forget(),
        }
        self.settled = interval.positions;
        self.visited_settled = interval.visited;
        (self.uncommitted, self.unstored) = (true, true);
        (self.failures, self.failed_first) = (0, None);
    }

    /// Whether the next record has to wait for what is before it.
    pub(crate) fn keeps(&self) -> bool {
        self.is_stuck() || !self.backlog.is_empty()
    }

    /// Whether nothing is begun before what was begun comes to an end.
    pub(crate) fn is_stuck(&self) -> bool {
        self.waiting.is_some() || self.trouble.is_some() || self.deferrals.is_full()
    }

    /// Keeps a record for later.
    pub(crate) fn keep(&mut self, record: OwnedRecord) {
        self.backlog_bytes += record.size();
        self.backlog.push_back(record);
    }

    /// The next record kept.
    pub(crate) fn next_kept(&mut self) -> Option<OwnedRecord> {
        let record = self.backlog.pop_front()?;
        self.backlog_bytes -= record.size();
        Some(record)
    }

    pub(crate) fn is_backlog_full(&self) -> bool {
        self.backlog.len() >= BACKLOG_RECORDS || self.backlog_bytes >= BACKLOG_BYTES
    }

    /// Drops whatever has not taken effect, and goes on behind what has and behind one record more;
    /// its inputs have to be assigned again.
    pub(crate) fn go_back(&mut self, source: usize, offset: i64) {
        self.waiting = None;
        self.trouble = None;
        self.backlog.clear();
        self.backlog_bytes = 0;
        self.held = false;
        self.deferrals.clear();
        self.rows.forget_deferred();
        // For a visit, as if it was dropped: it goes on behind the row that was visited last.
        self.drops += 1;
        self.fetched.clone_from(&self.open.positions);
        self.fetched[source] = offset + 1;
    }

    /// Drops whatever is not committed, a waiting handler included.
    pub(crate) fn drop_uncommitted(&mut self) {
        self.waiting = None;
        self.trouble = None;
        self.backlog.clear();
        self.backlog_bytes = 0;
        self.held = false;
        self.deferrals.clear();
        self.visited.clone_from(&self.visited_settled);
        self.drops += 1;
        self.rows.forget();
        self.closing = None;
        self.open = Interval::default();
        (self.uncommitted, self.unstored) = (false, false);
        self.phase = Phase::Settling;
    }
}
