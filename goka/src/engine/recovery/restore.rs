//! Restores local copies from the changelog. Must not know where partitions resume in their sources.

use tracing::{debug, warn};

use super::{
    copies::Copies,
    phase::Phase,
    state::{RETRY, Recovery},
    tail::{Start, Tail},
    undo::Undo,
};
use crate::{
    base::{error::Error, index::SourceIx, record::Record},
    engine::{
        cut::{Cut, Found},
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
        offsets: GroupOffsets,
        start: Start,
    ) -> Result<(), Halt> {
        let (at_ms, asked) = (env.kafka.wall_ms(), env.kafka.now());
        let Some(reader) = env.kafka.table() else {
            self.blocked.cleared(number);
            self.set(number, claiming(offsets, env.now(), None, Tail::default()));
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
        let (Some(spec), Some(partition)) = (&env.spec.table, partitions.get_mut(number)) else {
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
        let cut = cut_of(env, number, &offsets, (first, end), start.keep());
        let distrusted = distrust(
            store.position(),
            store.reaches(),
            (first, end),
            spec.age_max_ms,
            at_ms,
        );
        let is_checked = !env.spec.settings.fault.is(Fault::LateCommitWithoutRebuild);
        let ahead = cut.filter(|cut| is_checked && store.reaches() > cut.changelog);
        let distrusted = distrusted.or_else(|| ahead.map(|cut| is_ahead(store.reaches(), &cut)));
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
        let tail = match cut {
            Some(cut) => Tail::behind(cut, end, start),
            None => Tail::default(),
        };
        let replay = replay(env, spec, number, (from, end));
        self.set(
            number,
            Phase::Restoring {
                offsets,
                replay,
                tail: Box::new(tail),
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
        if self.is_behind_cut(number, record.offset) {
            self.reach_cut(env, partitions, number)?;
            return self.take_tail(env, partitions, &record).map(|()| None);
        }
        let partition = partitions.get_mut(number);
        let layers = partition.and_then(|partition| partition.copy_mut().layers());
        let (
            Some((rows, store)),
            Some(Phase::Restoring {
                offsets, replay, ..
            }),
        ) = (layers, self.phases.get_mut(&number))
        else {
            return Ok(None);
        };
        let reader = env.kafka.table();
        let log_end = || Some(reader?.progress(number)?.1);
        let is_full = replay.take(rows, &record, log_end)?;
        env.kafka.reached(Step::Replayed)?;
        if is_full {
            let no_offsets = offsets.has_no_sources();
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

    /// Whether a row of a partition's changelog is at or behind the group's cut.
    fn is_behind_cut(&self, number: i32, offset: i64) -> bool {
        match self.phases.get(&number) {
            Some(Phase::Restoring { tail, .. }) => tail.from().is_some_and(|from| offset >= from),
            _ => false,
        }
    }

    /// Notes that all rows before the group's cut were read: stores them, so that the local copy is at the cut.
    fn reach_cut(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<(), Halt> {
        let partition = partitions.get_mut(number);
        let layers = partition.and_then(|partition| partition.copy_mut().layers());
        let (
            Some((rows, store)),
            Some(Phase::Restoring {
                offsets,
                replay,
                tail,
                ..
            }),
        ) = (layers, self.phases.get_mut(&number))
        else {
            return Ok(());
        };
        if tail.is_reached() {
            return Ok(());
        }
        let from = tail.from().unwrap_or(0);
        let reader = env.kafka.table();
        replay.note_hole(from, || Some(reader?.progress(number)?.1));
        replay.pass(from);
        tail.reach(replay.whole_from(store) > from);
        if replay.next() != store.position().changelog {
            let no_offsets = offsets.has_no_sources();
            let at_ms = replay.at_ms(store, env.kafka.wall_ms());
            stored(number, replay.store(rows, store, no_offsets, at_ms))?;
        }
        // Reads the local copy, to which the tail is compared.
        Ok(rows.reload(Some(store))?)
    }

    /// Takes a row at or behind the group's cut.
    fn take_tail(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        record: &Record<'_>,
    ) -> Result<(), Halt> {
        let number = record.partition;
        let Some(Phase::Restoring {
            offsets,
            replay,
            tail,
            ..
        }) = self.phases.get_mut(&number)
        else {
            return Ok(());
        };
        replay.pass(record.offset + 1);
        tail.take(record);
        env.kafka.reached(Step::Replayed)?;
        if tail.is_all_on_purpose() {
            let (offsets, start) = (std::mem::take(offsets), Start::keeping(ON_PURPOSE));
            stop(env, number)?;
            return self.begin_restore(env, partitions, number, offsets, start);
        }
        Ok(())
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
        let has_cut = match self.phases.get(&number) {
            Some(Phase::Restoring { tail, .. }) => tail.from().is_some(),
            _ => return Ok(None),
        };
        if has_cut {
            self.reach_cut(env, partitions, number)?;
        }
        let (
            Some(partition),
            Some(Phase::Restoring {
                offsets,
                replay,
                tail,
                ..
            }),
        ) = (partitions.get_mut(number), self.phases.get_mut(&number))
        else {
            return Ok(None);
        };
        // Markers of transactions and compacted rows have an offset, but are not read.
        let reader = env.kafka.table();
        let end = reader.and_then(|reader| reader.progress(number));
        let next = replay.next().max(end.map_or(0, |(next, _)| next));
        replay.pass(next);
        if !has_cut
            && let Some((rows, store)) = partition.copy_mut().layers()
            && next != store.position().changelog
        {
            let no_offsets = offsets.has_no_sources();
            let written = replay.store(rows, store, no_offsets, env.kafka.wall_ms());
            stored(number, written)?;
        }
        let mut tail = std::mem::take(&mut **tail);
        let keys = tail.changed(partition.rows())?;
        let offsets = std::mem::take(offsets);
        if !keys.is_empty() {
            let keep = match why_kept(env, number, &offsets, &tail) {
                Ok(None) => None,
                Ok(Some(reason)) => Some(Start::keeping(reason)),
                Err(error) => {
                    debug!(partition = number, %error, "first and end offsets of an input not available; asking again");
                    stop(env, number)?;
                    self.ask_again(env, number, at, false);
                    return Ok(None);
                }
            };
            if let Some(start) = keep {
                stop(env, number)?;
                self.begin_restore(env, partitions, number, offsets, start)?;
                return Ok(None);
            }
        }
        replay.log_restored(at);
        partition.copy_mut().set_changelog(next);
        stored(number, Copies::complete(env, partitions, number))?;
        if self.rules.finds_gaps {
            partitions.ledger_mut().expect_row(number, next);
        }
        let undo = Undo::of(keys, next);
        self.set(number, claiming(offsets, env.now(), undo, tail));
        stop(env, number)?;
        env.kafka.reached(Step::Replaying)?;
        Ok(Some(number))
    }
}

/// How much younger than the changelog's `min.compaction.lag.ms` a row must be to be certain that no row before it was
/// compacted away because of it, milliseconds: clocks differ.
const LAG_MARGIN_MS: i64 = 300_000;
const ON_PURPOSE: &str = "they were written after the group had stopped";

/// The group's cut, if rows behind it are to be undone. Logs why rows are kept that are behind the cut.
fn cut_of(
    env: &Env<'_>,
    number: i32,
    offsets: &GroupOffsets,
    (first, end): (i64, i64),
    keep: Option<&'static str>,
) -> Option<Cut> {
    let fault = env.spec.settings.fault;
    let names = env.edges.names();
    let inputs = names.zip(offsets.sources.iter().map(|o| o.as_ref().map(|o| o.offset)));
    let found = Cut::find(offsets.changelog.as_ref(), inputs);
    #[cfg(any(test, feature = "faults"))]
    let found = match fault.is(Fault::OldTNewerInputs) {
        true => Cut::find_unproven(offsets.changelog.as_ref()),
        false => found,
    };
    let (cut, reason) = match found {
        Found::Nothing => return None,
        Found::NotOurs(reason) => (None, Some(reason)),
        Found::Cut(cut) if !cut.is_undone() => return None,
        Found::Cut(cut) if cut.changelog < first => (
            Some(cut),
            Some("the changelog begins behind the group's commit"),
        ),
        // Brokers have lost rows, so that nothing is behind the cut.
        Found::Cut(cut) if cut.changelog > end => return None,
        Found::Cut(cut) => (Some(cut), keep),
    };
    if fault.is(Fault::KeepTail) {
        return None;
    }
    let Some(reason) = reason else {
        return cut.map(
            |cut| match fault.is(Fault::TailBeyond) && cut.changelog < end {
                true => Cut {
                    changelog: cut.changelog + 1,
                    ..cut
                },
                false => cut,
            },
        );
    };
    if end > cut.map_or(first, |cut| cut.changelog) {
        warn!(
            group = env.group(),
            topic = env.changelog(),
            partition = number,
            cut = cut.map(|cut| cut.changelog),
            end,
            reason,
            "rows behind the group's commit are kept; their records may be handled again, and count twice"
        );
    }
    None
}

fn is_ahead(reaches: i64, cut: &Cut) -> String {
    format!(
        "the local copy is at offset {reaches}, beyond the group's commit, which is at offset {}",
        cut.changelog
    )
}

/// Why a tail is kept that was read; `None` if it can be undone.
///
/// # Errors
/// The brokers did not say where an input begins.
fn why_kept(
    env: &Env<'_>,
    number: i32,
    offsets: &GroupOffsets,
    tail: &Tail,
) -> Result<Option<&'static str>, Error> {
    let fault = env.spec.settings.fault;
    let table = env.spec.table.as_ref();
    let lag_ms = table.and_then(|table| table.compaction_lag_ms).unwrap_or(0);
    let age_ms = tail.oldest_ms().map_or(0, |at| env.kafka.wall_ms() - at);
    let is_old = age_ms > lag_ms - LAG_MARGIN_MS && !fault.is(Fault::EventTimeRows);
    if tail.has_holes() && is_old && !fault.is(Fault::Lag0LaggingCopy) {
        return Ok(Some(
            "the rows that they replaced may be compacted away (see `min.compaction.lag.ms`)",
        ));
    }
    for (source, committed) in offsets.sources.iter().enumerate() {
        if let Some(committed) = committed {
            let (first, _) = env.kafka.bounds(SourceIx::new(source), number)?;
            if committed.offset < first {
                return Ok(Some("an input no longer has the records of these rows"));
            }
        }
    }
    Ok(None)
}

fn claiming(
    offsets: GroupOffsets,
    at: std::time::Duration,
    undo: Option<Undo>,
    tail: Tail,
) -> Phase {
    Phase::Claiming {
        offsets,
        at,
        is_reset: false,
        undo,
        share: tail.share(),
        kept: tail.into_kept(),
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
