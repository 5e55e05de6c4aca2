//! The program of the simulated workers: it counts records, and its handlers may wait, defer and fail.
//!
//! Must not know which faults happen.

use std::{
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use super::{ECHO, FIRST, GROUP, INPUTS, TABLE, VISITS, turned};
use crate::{
    base::{
        defer::Deferred,
        error::BoxError,
        index::EdgeIx,
        kind::Kind,
        options::TableOptions,
        record::{Meta, OwnedRecord, Record},
    },
    engine::{
        effects::{Effects, Row},
        program::{EdgeInfo, Failure, SharedReads, Stage, Waiting},
        table::rows::Rows,
    },
    sim::{parts, scripted::Scripted},
};

/// The value that a handler writes before it fails. No topic and no copy may contain this value.
const FAILED: &str = "failed";

/// The guards of deferred records that are not completed yet.
pub(super) type Guards = Arc<Mutex<VecDeque<Deferred>>>;

/// How the next handler call fails: `Some(true)` by a panic, `Some(false)` by an error, `None` not at all.
pub(super) type Failing = Arc<Mutex<Option<bool>>>;

/// How long handlers that wait take, in milliseconds. The offset of the record selects the entry: mostly no time,
/// sometimes longer than a membership lease or a session.
const SLOW_MS: [u64; 6] = [0, 0, 30, 300, 3000, 7000];

/// The virtual time at the beginning of the current turn, in milliseconds.
pub(super) type Clock = Arc<AtomicU64>;

/// A program that counts the records of each key, turns switches on and off, and writes an echo of every record. For a
/// counted key without a row, the program also writes a record to another output, as a deduplicator does.
pub(super) struct Count {
    /// Whether the handler of the second input waits.
    pub(super) waits: bool,
    /// The clock by which that handler waits; `None` if the handler takes no virtual time.
    pub(super) clock: Option<Clock>,
    pub(super) coalesce: bool,
    /// The guards, if the handler of the first input defers every other record; otherwise `None`.
    pub(super) guards: Option<Guards>,
    pub(super) failing: Failing,
}

impl Count {
    pub(super) fn into_program(self) -> Scripted {
        let edge = |kind, topic| EdgeInfo {
            options: TableOptions::DEFAULT.coalesce(self.coalesce),
            waits: self.waits && topic == INPUTS[1],
            handler: "count",
            ..parts::edge(kind, topic)
        };
        let edges = vec![
            edge(Kind::Input, INPUTS[0]),
            edge(Kind::Input, INPUTS[1]),
            edge(Kind::Table, TABLE),
            edge(Kind::Output, ECHO),
            edge(Kind::Output, VISITS),
            edge(Kind::Output, FIRST),
        ];
        let Count {
            clock,
            guards,
            failing,
            ..
        } = self;
        let failing_later = Arc::clone(&failing);
        let program = Scripted::new(GROUP, edges, move |edge, record, effects, reads| {
            if let Some(guards) = &guards
                && record.offset % 2 == 0
            {
                let mut guards = guards.lock().unwrap_or_else(PoisonError::into_inner);
                guards.push_back(effects.defer());
            }
            run(&failing, edge, record, effects, reads.rows)
        });
        program.later(move |edge, record, effects, reads| {
            let until = clock.as_ref().map(|clock| {
                let nth = usize::try_from(record.offset).unwrap_or(0) % SLOW_MS.len();
                let until = clock.load(Ordering::Relaxed) + SLOW_MS[nth];
                (Arc::clone(clock), until)
            });
            run_later(
                Arc::clone(&failing_later),
                until,
                edge,
                record,
                effects,
                reads,
            )
        })
    }
}

/// Does the same as [`run`], but only after some polls, and not before the clock shows `until`.
fn run_later(
    failing: Failing,
    until: Option<(Clock, u64)>,
    edge: EdgeIx,
    record: Rc<OwnedRecord>,
    mut effects: Effects,
    reads: SharedReads,
) -> Waiting {
    let mut polls_left = record.offset % 4;
    Box::pin(poll_fn(move |waking| {
        polls_left -= 1;
        if polls_left >= 0 {
            waking.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Like a timer of the application's runtime, this does not wake the task before `until`.
        if let Some((clock, until)) = &until
            && clock.load(Ordering::Relaxed) < *until
        {
            return Poll::Pending;
        }
        let result = run(
            &failing,
            edge,
            record.as_record(),
            &mut effects,
            &reads.rows,
        );
        Poll::Ready((std::mem::take(&mut effects), result))
    }))
}

/// Writes the row of a record, and an output record (echo) that names the input record.
fn run(
    failing: &Failing,
    edge: EdgeIx,
    record: Record<'_>,
    effects: &mut Effects,
    rows: &Rows,
) -> Result<(), Failure> {
    let failing = failing
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let (row, echo) = match failing {
        Some(_) => (Some(FAILED.to_owned()), FAILED.to_owned()),
        None => {
            let key = record.key.unwrap_or_default();
            let before = rows.read(key, |row| row.map(<[u8]>::to_vec));
            let before = before.map_err(failure)?;
            let row = row_after((key, record.value), record.offset, before.as_deref())?;
            (
                row,
                echo_of((edge.index(), record.partition, record.offset)),
            )
        }
    };
    let is_counted = turned(record.key.unwrap_or_default(), record.value).is_none();
    let is_first = is_counted && row.as_deref() == Some("1");
    let mut write = |bytes: &[u8]| {
        effects.encode(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok::<(), Failure>(())
        })
    };
    let row = match row {
        Some(row) => Row::Put(write(row.as_bytes())?),
        None => Row::Delete,
    };
    let (key, echo) = (
        write(record.key.unwrap_or_default())?,
        write(echo.as_bytes())?,
    );
    effects.set_row(row);
    let meta = Meta::new().to_partition(record.partition);
    if is_first {
        let (key, echo) = (key.clone(), echo.clone());
        effects.emit(EdgeIx::new(5), Some(key), Some(echo), meta.clone());
    }
    effects.emit(EdgeIx::new(3), Some(key), Some(echo), meta);
    match failing {
        None => Ok(()),
        Some(false) => Err(failure("failure requested by the schedule")),
        Some(true) => panic!("failure requested by the schedule"),
    }
}

/// The name of an input record in its echo: the index of the input, the partition and the offset.
pub(super) fn echo_of((input, partition, offset): (usize, i32, i64)) -> String {
    format!("{input}/{partition}/{offset}")
}

/// The row after a record: the count, one more than in the row before. For a switch that is on, the offset of the
/// record plus 1; for a switch that is off, no row.
pub(super) fn row_after(
    (key, value): (&[u8], Option<&[u8]>),
    offset: i64,
    before: Option<&[u8]>,
) -> Result<Option<String>, Failure> {
    if let Some(is_on) = turned(key, value) {
        return Ok(is_on.then(|| (offset + 1).to_string()));
    }
    let before = before.map_or(Ok("0"), str::from_utf8);
    let before = before.map_err(failure)?.parse::<u64>();
    let before = before.map_err(|_| failure("the row is not a number"))?;
    Ok(Some((before + 1).to_string()))
}

fn failure(source: impl Into<BoxError>) -> Failure {
    Failure {
        stage: Stage::Handler,
        doing: "run",
        source: source.into(),
    }
}
