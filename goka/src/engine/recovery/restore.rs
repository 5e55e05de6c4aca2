//! Restores local copies from the changelog. Must not know where partitions resume in their sources.

use tracing::{debug, warn};

use super::{
    copies::Copies,
    phase::Phase,
    state::{RETRY, Recovery},
};
use crate::{
    base::error::Error,
    engine::{
        env::Env,
        halt::{Halt, stored},
        partition::Partitions,
        port::{GroupOffsets, Reader, Step, TableEvent, fault::Fault},
        spec::TableSpec,
        table::{replay::Replay, trust::distrust},
    },
};

impl Recovery {
    /// Whether any partition is being restored.
    pub(crate) fn is_restoring(&self) -> bool {
        let mut phases = self.phases.values();
        phases.any(|phase| matches!(phase, Phase::Restoring { .. }))
    }

    /// Starts the reader for all partitions that begin to restore, all together. A broker answers the requests of a
    /// connection one after another. If the partitions were started one by one, the request that starts a partition
    /// would therefore wait behind a fetch for another partition, which may itself wait for rows.
    pub(crate) fn start_reading(&mut self, reader: &dyn Reader) -> Result<(), Error> {
        for (number, phase) in &mut self.phases {
            if let Phase::Restoring {
                replay, is_started, ..
            } = phase
                && !*is_started
            {
                *is_started = true;
                reader.start(*number, replay.next())?;
            }
        }
        Ok(())
    }

    /// Notes that the reader was stopped for a partition, so that recovery starts the reader again, from the next
    /// offset.
    pub(crate) fn interrupted(&mut self, number: i32) {
        if let Some(Phase::Restoring { is_started, .. }) = self.phases.get_mut(&number) {
            *is_started = false;
        }
    }

    /// Begins to restore a partition, from the changelog offset that its local copy has reached.
    pub(super) fn begin_restore(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        committed: GroupOffsets,
    ) -> Result<(), Halt> {
        let (at_ms, asked) = (env.kafka.wall_ms(), env.kafka.now());
        let Some(reader) = env.kafka.table() else {
            self.blocked.cleared(number);
            self.set(number, claiming(committed, env.now()));
            return Ok(());
        };
        // Ask for the end of the log before the last stable offset. If the last stable offset is at least as high, all
        // records before the end are decided: none of them is in an open transaction.
        let written = env.kafka.table_end(number);
        let bounds = written.and_then(|written| Ok((written, reader.bounds(number)?)));
        let (first, end) = match bounds {
            Ok((written, bounds)) if written <= bounds.1 => bounds,
            Ok(_) => {
                debug!(
                    partition = number,
                    "a transaction is open in the changelog; asking again"
                );
                self.ask_again(env, number, asked, true);
                return Ok(());
            }
            Err(error) => {
                debug!(partition = number, %error, "first and end offsets of the changelog not available; asking again");
                self.ask_again(env, number, asked, false);
                return Ok(());
            }
        };
        self.blocked.cleared(number);
        let Some(spec) = &env.spec.table else {
            return Ok(());
        };
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let copy = partition.copy_mut();
        let Some((rows, store)) = copy.layers() else {
            return Ok(());
        };
        let topic = &spec.identity.topic;
        if spec.forgets_rows && store.position().changelog < first {
            return Err(rows_are_gone(topic, number, first).into());
        }
        let distrusted = distrust(
            store.position(),
            store.reaches(),
            (first, end),
            spec.age_max_ms,
            at_ms,
        );
        if let Some(reason) = distrusted {
            warn!(
                topic,
                partition = number,
                reason,
                "local copy not trusted; rebuilding"
            );
            rows.forget();
            match store.rebuild(&spec.identity_of(number), &spec.options) {
                Ok(Some(new)) => *store = new,
                Ok(None) => {}
                Err(error) => return stored(number, Err(error)),
            }
        }
        let from = match store.position().changelog {
            1.. if env.spec.settings.fault.is(Fault::SkipTail) => end,
            next => next.max(first),
        };
        copy.reload()?;
        let replay = replay(env, spec, number, (from, end));
        self.set(
            number,
            Phase::Restoring {
                committed,
                replay,
                is_started: false,
            },
        );
        Ok(())
    }

    /// Takes an event of the changelog's reader. If the event completes the restore of a partition, returns the
    /// partition's number.
    pub(crate) fn on_changelog(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        event: TableEvent<'_>,
    ) -> Result<Option<i32>, Halt> {
        let record = match event {
            TableEvent::Record(record) => record,
            TableEvent::End { partition } => return self.end_restore(env, partitions, partition),
            TableEvent::OutOfRange { partition } => {
                // The changelog was truncated: fetch its ends again.
                stop(env, partition)?;
                let at = env.now() + RETRY;
                self.set(partition, Phase::FetchingOffsets { at });
                return Ok(None);
            }
            TableEvent::Failed(error) => return Err(error.into()),
        };
        let number = record.partition;
        let partition = partitions.get_mut(number);
        let layers = partition.and_then(|partition| partition.copy_mut().layers());
        let (
            Some((rows, store)),
            Some(Phase::Restoring {
                committed, replay, ..
            }),
        ) = (layers, self.phases.get_mut(&number))
        else {
            return Ok(None);
        };
        let is_full = replay.take(rows, &record)?;
        env.kafka.reached(Step::Replayed)?;
        if is_full {
            let no_offsets = committed.sources.iter().all(Option::is_none);
            let at_ms = replay.at_ms(store, env.kafka.wall_ms());
            let written = replay.store(rows, store, no_offsets, at_ms);
            replay.log_progress(env.kafka.now());
            stored(number, written)?;
            let (rows, bytes, done) = replay.progress();
            env.spec.status.recovering(number, rows, bytes, done);
            env.kafka.reached(Step::Replaying)?;
        }
        Ok(None)
    }

    /// Completes the restore of a partition, because the reader has reached the end of its changelog. Returns the
    /// partition's number, unless the partition is not being restored.
    fn end_restore(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Option<i32>, Halt> {
        let at = env.kafka.now();
        let (
            Some(partition),
            Some(Phase::Restoring {
                committed, replay, ..
            }),
        ) = (partitions.get_mut(number), self.phases.get_mut(&number))
        else {
            return Ok(None);
        };
        let next = replay.next();
        if let Some((rows, store)) = partition.copy_mut().layers()
            && next != store.position().changelog
        {
            let no_offsets = committed.sources.iter().all(Option::is_none);
            let written = replay.store(rows, store, no_offsets, env.kafka.wall_ms());
            stored(number, written)?;
        }
        replay.log_restored(at);
        partition.copy_mut().set_changelog(next);
        let committed = std::mem::take(committed);
        stored(number, Copies::complete(env, partitions, number))?;
        if self.rules.finds_gaps {
            partitions.ledger_mut().expect_row(number, next);
        }
        self.set(number, claiming(committed, env.now()));
        stop(env, number)?;
        env.kafka.reached(Step::Replaying)?;
        Ok(Some(number))
    }
}

fn claiming(committed: GroupOffsets, at: std::time::Duration) -> Phase {
    Phase::Claiming {
        committed,
        at,
        is_reset: false,
    }
}

fn replay(env: &Env<'_>, spec: &TableSpec, number: i32, range: (i64, i64)) -> Replay {
    let table = env.edges.table();
    let declared = table.map(|table| env.edges.get(table).partitioner);
    let partitioner = (declared.unwrap_or_default(), spec.identity.partitions);
    Replay::new(&spec.identity.topic, number, range, partitioner, env.now())
}

/// Stops reading the changelog of a partition.
fn stop(env: &Env<'_>, number: i32) -> Result<(), Error> {
    match env.kafka.table() {
        Some(reader) => reader.stop(number),
        None => Ok(()),
    }
}

fn rows_are_gone(topic: &str, number: i32, first: i64) -> Error {
    Error::Topic(format!(
        "`{topic}` partition {number} begins at offset {first}: the embedded broker keeps 5 MB a partition, and older rows \
         of the table are gone. Start again with a fresh broker and state, or use a real Kafka"
    ))
}
