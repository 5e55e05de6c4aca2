//! What simulated workers run: a program that counts, whose handlers may wait, defer and fail.
//!
//! Must not know what goes wrong around it.

use std::{
    any::Any,
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use super::{ECHO, GROUP, INPUTS, TABLE, VISITS, turned};
use crate::{
    base::{
        defer::Deferred,
        error::BoxError,
        kind::Kind,
        options::TableOptions,
        partitioner::Partitioner,
        policy::OnError,
        record::{Meta, Record},
    },
    engine::{
        effects::{Effects, Row},
        program::{EdgeInfo, Failure, OwnedRecord, Program, Reads, SharedReads, Stage, Waiting},
        table::rows::Rows,
    },
};

/// What a handler writes before it fails: it must not be found anywhere.
const FAILED: &str = "failed";

/// What handlers have deferred, and is not done yet.
pub(super) type Guards = Arc<Mutex<VecDeque<Deferred>>>;

/// Whether the next handler fails, and then whether by a panic.
pub(super) type Failing = Arc<Mutex<Option<bool>>>;

/// How long handlers that wait take, by the offset of their record: mostly nothing, and at times longer than
/// a lease, or than a session.
const SLOW_MS: [u64; 6] = [0, 0, 30, 300, 3000, 7000];

/// Virtual time, milliseconds, as of the turn that handlers run in.
pub(super) type Clock = Arc<AtomicU64>;

/// Counts the records of each key, and says which ones it handled. A switch it turns on and off.
pub(super) struct Count {
    /// Whether the handler of the second input waits.
    pub(super) waits: bool,
    /// And how time goes by while it does; `None`: it takes none.
    pub(super) clock: Option<Clock>,
    pub(super) coalesce: bool,
    /// Whether the handler of the first input defers every other record.
    pub(super) guards: Option<Guards>,
    pub(super) failing: Failing,
}

impl Program for Count {
    fn group(&self) -> &'static str {
        GROUP
    }

    fn edges(&self) -> Vec<EdgeInfo> {
        let edge = |kind, topic| EdgeInfo {
            kind,
            topic,
            partitioner: Partitioner::Murmur2,
            codec: "text",
            options: TableOptions::DEFAULT.coalesce(self.coalesce),
            waits: self.waits && topic == INPUTS[1],
            handler: "count",
            on_error: OnError::FAIL,
        };
        vec![
            edge(Kind::Input, INPUTS[0]),
            edge(Kind::Input, INPUTS[1]),
            edge(Kind::Table, TABLE),
            edge(Kind::Output, ECHO),
            edge(Kind::Output, VISITS),
        ]
    }

    fn handle(
        &self,
        edge: usize,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure> {
        if let Some(guards) = &self.guards
            && record.offset % 2 == 0
        {
            let mut guards = guards.lock().unwrap_or_else(PoisonError::into_inner);
            guards.push_back(effects.defer());
        }
        run(&self.failing, edge, record, effects, reads.rows)
    }

    fn handle_later(
        &self,
        edge: usize,
        record: Rc<OwnedRecord>,
        mut effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        let (mut polls_left, failing) = (record.offset % 4, self.failing.clone());
        let nth = usize::try_from(record.offset).unwrap_or(0) % SLOW_MS.len();
        let until = self.clock.clone().map(|clock| {
            let until = clock.load(Ordering::Relaxed) + SLOW_MS[nth];
            (clock, until)
        });
        Box::pin(poll_fn(move |waking| {
            polls_left -= 1;
            if polls_left >= 0 {
                waking.waker().wake_by_ref();
                return Poll::Pending;
            }
            // As a timer of the application's runtime: it wakes nobody before its time.
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

    fn processor(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(())
    }
}

/// Writes the row of a record, and an output that names the record.
fn run(
    failing: &Failing,
    edge: usize,
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
        None => (
            row(&record, rows)?,
            format!("{edge}/{}/{}", record.partition, record.offset),
        ),
    };
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
    effects.emit(3, Some(key), Some(echo), meta);
    match failing {
        None => Ok(()),
        Some(false) => Err(failure("it was told to fail")),
        Some(true) => panic!("it was told to fail"),
    }
}

/// One more than before; or of a switch, where it was turned on, and nothing once it is off.
fn row(record: &Record<'_>, rows: &Rows) -> Result<Option<String>, Failure> {
    let key = record.key.unwrap_or_default();
    if let Some(is_on) = turned(key, record.value) {
        return Ok(is_on.then(|| (record.offset + 1).to_string()));
    }
    let before = rows.read(key, |row| row.map(<[u8]>::to_vec));
    let before = before.map_err(failure)?;
    let before = before.map_or(Ok("0".to_owned()), String::from_utf8);
    let before = before.map_err(failure)?.parse::<u64>();
    let before = before.map_err(|_| failure("the row is no number"))?;
    Ok(Some((before + 1).to_string()))
}

fn failure(source: impl Into<BoxError>) -> Failure {
    Failure {
        stage: Stage::Handler,
        doing: "run",
        source: source.into(),
    }
}
