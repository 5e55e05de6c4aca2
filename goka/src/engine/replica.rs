//! A local copy of a whole table, kept up to date by one thread: what views read.
//!
//! A process keeps one replica per table, however many views read it. The thread is the only one
//! that writes; readers take snapshots.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;
use tracing::{error, warn};

use crate::{
    Error, PartitionState, Partitioner,
    engine::{replay::Replay, rows::Rows, status::Status, trust::distrust},
    kafka::{Reader, TableEvent},
    record::to_ms,
    store::{Identity, Options, Position, Snapshot, Snapshots, Store},
};

/// How long one poll may wait when there is nothing to read.
const IDLE: Duration = Duration::from_millis(20);
/// Events taken before what was read is committed, once a partition is up to date.
const EVENTS_MAX: usize = 10_000;
/// When ends of partitions are asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// What a replica is made of.
pub(crate) struct Spec {
    pub(crate) dir: PathBuf,
    /// Which partition is filled in.
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) partitioner: Partitioner,
    pub(crate) age_max_ms: Option<i64>,
    pub(crate) forgets_rows: bool,
}

/// A replica; its thread ends when it is dropped.
pub(crate) struct Replica {
    pub(crate) status: Arc<Status>,
    pub(crate) changes: watch::Receiver<u64>,
    partitions: Vec<Snapshots>,
    failure: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A partition of it, on its thread.
struct Copy {
    rows: Rows,
    store: Store,
    /// `None`: it has to be asked where to begin.
    replay: Option<Replay>,
    retry_at: Duration,
    up_to_date: bool,
    dirty: bool,
}

/// The thread's side.
struct Keeper {
    spec: Spec,
    reader: Box<dyn Reader + Send>,
    copies: BTreeMap<i32, Copy>,
    status: Arc<Status>,
    began: Instant,
}

impl Replica {
    /// Opens the local copies and begins to read. `connect` is called on the thread of the replica.
    pub(crate) fn open(
        spec: Spec,
        connect: impl FnOnce() -> Result<Box<dyn Reader + Send>, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (changed, changes) = watch::channel(0);
        let status = Arc::new(Status::new(changed));
        let (mut copies, mut partitions) = (BTreeMap::new(), Vec::new());
        for number in 0..spec.identity.partitions {
            let identity = Identity {
                partition: number,
                ..spec.identity.clone()
            };
            let path = spec.dir.join(number.to_string());
            let (store, discarded) = Store::open(&path, &identity, &spec.options)?;
            if let Some(reason) = discarded {
                warn!(
                    topic = identity.topic,
                    partition = number,
                    reason,
                    "the local copy is rebuilt"
                );
            }
            partitions.push(store.snapshots());
            let (rows, retry_at) = (Rows::default(), Duration::ZERO);
            let copy = Copy {
                rows,
                store,
                replay: None,
                retry_at,
                up_to_date: false,
                dirty: false,
            };
            copies.insert(number, copy);
            status.recovering(number, 0, 0, 0.0);
        }
        let (stop, failure) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let name = format!("goka-view-{}", spec.identity.topic);
        let thread = {
            let (status, stop, failure) = (status.clone(), stop.clone(), failure.clone());
            std::thread::Builder::new().name(name).spawn(move || {
                let topic = spec.identity.topic.clone();
                let began = Instant::now();
                let kept = connect().and_then(|reader| {
                    let mut keeper = Keeper {
                        spec,
                        reader,
                        copies,
                        status: status.clone(),
                        began,
                    };
                    let kept = keeper.keep(&stop);
                    kept.and(keeper.close())
                });
                if let Err(error) = kept {
                    error!(topic, %error, "the view is no longer kept up to date");
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(error.to_string());
                }
                status.joined();
            })
        };
        let thread = thread.map_err(|error| Error::kafka("start the thread of a view", error))?;
        Ok(Replica {
            status,
            changes,
            partitions,
            failure,
            stop,
            thread: Some(thread),
        })
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions.len() as i32
    }

    /// A moment of one partition.
    pub(crate) fn snapshot(&self, partition: i32) -> Result<Snapshot, Error> {
        let copy = self.partitions.get(partition as usize);
        copy.map_or(Err(Error::Closed("the view")), Snapshots::take)
    }

    /// Why it is no longer kept up to date.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether every partition has been read to its end once.
    pub(crate) fn is_up_to_date(&self) -> bool {
        let states = self.status.partitions();
        states
            .values()
            .all(|state| *state == PartitionState::Running)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has caught its own failures; a panic of it was printed.
            let _ = thread.join();
        }
    }
}

impl Keeper {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn keep(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            self.begin()?;
            let mut wait = IDLE;
            for _ in 0..EVENTS_MAX {
                let (mut result, now) = (Ok(()), self.now());
                let Keeper {
                    reader,
                    copies,
                    status,
                    spec,
                    ..
                } = self;
                let on = &mut |event: TableEvent<'_>| {
                    result = on(copies, status, spec, &**reader, event, now)
                };
                if !reader.poll(wait, on) {
                    break;
                }
                result?;
                wait = Duration::ZERO;
            }
            let at_ms = to_ms(SystemTime::now());
            for copy in self
                .copies
                .values_mut()
                .filter(|copy| copy.dirty && copy.up_to_date)
            {
                copy.store_rows(at_ms)?;
            }
        }
        Ok(())
    }

    /// Begins to read every partition that is not read yet.
    fn begin(&mut self) -> Result<(), Error> {
        let (now, at_ms) = (self.now(), to_ms(SystemTime::now()));
        let mut starting = Vec::new();
        for (&number, copy) in &mut self.copies {
            if copy.replay.is_some() || now < copy.retry_at {
                continue;
            }
            copy.retry_at = now + RETRY;
            let Ok((first, end)) = self.reader.bounds(number) else {
                continue;
            };
            let stands = copy.store.position().clone();
            let topic = &self.spec.identity.topic;
            if self.spec.forgets_rows && stands.table < first {
                return Err(Error::Topic(format!(
                    "`{topic}` partition {number} begins at offset {first}: the embedded broker keeps 5 MB a \
                     partition, and older rows of the table are gone. Open the view before so much is written, or use a \
                     real Kafka"
                )));
            }
            if let Some(reason) = distrust(&stands, (first, end), self.spec.age_max_ms, at_ms) {
                warn!(
                    topic,
                    partition = number,
                    reason,
                    "the local copy is rebuilt"
                );
                let mut batch = copy.store.batch()?;
                batch.clear()?;
                batch.commit(Position::default())?;
            }
            let from = copy.store.position().table.max(first);
            let partitioner = (self.spec.partitioner, self.spec.identity.partitions);
            starting.push((number, from));
            copy.replay = Some(Replay::new(topic, number, (from, end), partitioner, now));
        }
        // All at once: a broker answers one request of a connection after another.
        starting
            .into_iter()
            .try_for_each(|(number, from)| self.reader.start(number, from))
    }

    fn close(self) -> Result<(), Error> {
        let at_ms = to_ms(SystemTime::now());
        for (_, mut copy) in self.copies {
            if copy.dirty {
                copy.store_rows(at_ms)?;
            }
            copy.rows.forget();
            copy.store.close()?;
        }
        Ok(())
    }
}

fn on(
    copies: &mut BTreeMap<i32, Copy>,
    status: &Status,
    spec: &Spec,
    reader: &dyn Reader,
    event: TableEvent<'_>,
    now: Duration,
) -> Result<(), Error> {
    let at_ms = || to_ms(SystemTime::now());
    match event {
        TableEvent::Record(record) => {
            let Some(copy) = copies.get_mut(&record.partition) else {
                return Ok(());
            };
            let Some(replay) = &mut copy.replay else {
                return Ok(());
            };
            copy.dirty = true;
            if replay.take(&copy.rows, &record)? {
                let (rows, bytes, progress) = replay.progress();
                if !copy.up_to_date {
                    status.recovering(record.partition, rows, bytes, progress);
                }
                copy.store_rows(at_ms())?;
            }
        }
        TableEvent::End { partition } => {
            if let Some(copy) = copies.get_mut(&partition)
                && !copy.up_to_date
                && let Some(replay) = &copy.replay
            {
                replay.log_end(now);
                copy.up_to_date = true;
                if copy.dirty {
                    copy.store_rows(at_ms())?;
                }
                status.running(partition);
            }
        }
        TableEvent::OutOfRange { partition } => {
            warn!(
                topic = spec.identity.topic,
                partition, "the table's topic was cut off or made anew"
            );
            reader.stop(partition)?;
            if let Some(copy) = copies.get_mut(&partition) {
                copy.rows.forget();
                (copy.replay, copy.up_to_date, copy.dirty) = (None, false, false);
                status.recovering(partition, 0, 0, 0.0);
            }
        }
        TableEvent::Failed(error) => return Err(error),
    }
    Ok(())
}

impl Copy {
    fn store_rows(&mut self, at_ms: i64) -> Result<(), Error> {
        if let Some(replay) = &self.replay {
            replay.store(&self.rows, &mut self.store, at_ms)?;
        }
        self.dirty = false;
        // Readers take snapshots of their own; one held here would keep old pages from reuse.
        self.rows.forget();
        Ok(())
    }
}
