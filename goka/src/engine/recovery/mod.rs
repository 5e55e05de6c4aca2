//! From assigned to running: where the group stands, the table's topic into the local copy, and
//! the claim. Inputs are assigned only when all of it is done, so that nothing is fetched before.

mod assignment;
mod copy;
pub(crate) mod replay;
mod reset;
pub(crate) mod trust;

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::{
    base::{
        config::{Guarantee, Start},
        error::Error,
    },
    engine::{
        commit::offsets::positions_of,
        partition::Phase,
        port::{
            CommitError, Committed, Kafka, Reader, Step, TableEvent, fault::Fault, is_unstable,
        },
        recovery::{
            replay::Replay,
            trust::{distrust, group_wins, position_in, which_wins},
        },
        worker::Core,
    },
    store::Store,
};

/// When something has to be asked again.
const RETRY: Duration = Duration::from_millis(100);
/// When it is looked again whether the tables of others are up to date.
const TABLES_RETRY: Duration = Duration::from_millis(5);
/// How long brokers may be asked in one turn before the next question is left to the next turn.
const QUESTIONS_MAX: Duration = Duration::from_secs(1);
/// Time for reading tables in one turn, beside running partitions and without.
const BUDGET_BESIDE: Duration = Duration::from_millis(5);
const BUDGET_ALONE: Duration = Duration::from_millis(50);

impl Core {
    /// Moves every partition on that does not run yet; whether one is reading its table.
    pub(crate) fn recover(&mut self, kafka: &dyn Kafka) -> Result<bool, Error> {
        if let Some(standby) = self.spec.table.as_ref().and_then(|t| t.standby.as_ref()) {
            standby.check()?;
        }
        if self.transaction.is_aborting() && !self.spec.settings.fault.is(Fault::NoGate) {
            // Where the group stands is known when nothing of this worker is undecided.
            return Ok(false);
        }
        let began = kafka.now();
        let mut from = std::mem::take(&mut self.recover_from);
        let mut replaying = false;
        while let Some(number) = self
            .partitions
            .range(from..)
            .find(|(_, p)| !p.is_running())
            .map(|(n, _)| *n)
        {
            from = number + 1;
            self.move_on(kafka, number)?;
            let phase = self.partitions.get(&number).map(|p| &p.phase);
            replaying |= matches!(phase, Some(Phase::Replaying { .. }));
            if kafka.now().saturating_sub(began) > QUESTIONS_MAX {
                // Brokers that are away take long to give no answer: who waits for the end of this
                // turn would wait for all of them. The next one goes on with the next partition.
                self.recover_from = from;
                break;
            }
        }
        if replaying && let Some(table) = kafka.table() {
            self.start_reading(table)?;
            self.read_table(kafka, table)?;
        }
        Ok(replaying)
    }

    /// Begins to read all at once: a broker answers one request of a connection after another, so
    /// that a question asked while it waits for rows of one partition would wait too.
    fn start_reading(&mut self, table: &dyn Reader) -> Result<(), Error> {
        for partition in self.partitions.values_mut() {
            if let Phase::Replaying {
                replay, started, ..
            } = &mut partition.phase
                && !*started
            {
                *started = true;
                table.start(partition.number, replay.next)?;
            }
        }
        Ok(())
    }

    fn read_table(&mut self, kafka: &dyn Kafka, table: &dyn Reader) -> Result<(), Error> {
        let runs = self.partitions.values().any(|p| p.is_running());
        let until = kafka.now() + if runs { BUDGET_BESIDE } else { BUDGET_ALONE };
        let mut wait = Duration::from_millis(2);
        for taken in 1.. {
            let mut result = Ok(());
            let some = table.poll(wait, &mut |event| result = self.table_event(kafka, event));
            result?;
            if !some || taken % 64 == 0 && kafka.now() >= until {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn move_on(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        match &partition.phase {
            Phase::Settling if self.ledger.pending(number) == 0 && now >= partition.rests_until => {
                self.ledger.reset(number);
                if let Some(partition) = self.partitions.get_mut(&number)
                    && partition.wanted.is_empty()
                {
                    partition.wanted = self.spec.tables.want(number);
                }
                match self.open_copy(number) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) => return self.found_room(kafka, number, Err(error)).map(drop),
                }
                self.set_phase(number, Phase::Asking { at: now });
                self.move_on(kafka, number)
            }
            Phase::Asking { at } if now >= *at => {
                let asked = kafka.now();
                match kafka.committed(number) {
                    Ok(committed) => self.begin_replay(kafka, number, committed),
                    Err(error) => {
                        debug!(partition = number, %error, "asking for the committed offsets again");
                        self.ask_again(kafka, number, asked, is_unstable(&error));
                        Ok(())
                    }
                }
            }
            Phase::Claiming { at, .. } if now >= *at => self.claim(kafka, number),
            _ => Ok(()),
        }
    }

    /// The committed offsets, and what follows from them, could not be found out since it was asked for:
    /// because a transaction is open, as brokers have told, or they did not answer.
    fn ask_again(&mut self, kafka: &dyn Kafka, number: i32, asked: Duration, told: bool) {
        let at = kafka.now() + RETRY;
        self.set_phase(number, Phase::Asking { at });
        if told {
            self.say_open(kafka, number);
        }
        if self.is_exactly_once() {
            self.blocked(kafka, number, asked, told);
        }
    }

    fn set_phase(&mut self, number: i32, phase: Phase) {
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.phase = phase;
        }
    }

    /// Begins to read the table's topic behind the local copy.
    fn begin_replay(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        committed: Vec<Option<Committed>>,
    ) -> Result<(), Error> {
        let (now, at_ms, asked) = (self.now, kafka.wall_ms(), kafka.now());
        let Some(reader) = kafka.table() else {
            self.transaction.unblocked(number);
            self.set_phase(number, Phase::Claiming { committed, at: now });
            return Ok(());
        };
        // In this order: what is in the topic now is decided when its end has got there.
        let written = kafka.table_end(number);
        let bounds = written.and_then(|written| Ok((written, reader.bounds(number)?)));
        let (first, end) = match bounds {
            Ok((written, bounds)) if written <= bounds.1 => bounds,
            Ok(_) => {
                debug!(
                    partition = number,
                    "the table's topic has an open transaction"
                );
                self.ask_again(kafka, number, asked, true);
                return Ok(());
            }
            Err(error) => {
                debug!(partition = number, %error, "asking for the ends of the table's topic again");
                self.ask_again(kafka, number, asked, false);
                return Ok(());
            }
        };
        self.transaction.unblocked(number);
        let Some(spec) = &self.spec.table else {
            return Ok(());
        };
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let Some(store) = &mut partition.store else {
            return Ok(());
        };
        let topic = &spec.identity.topic;
        let stands = store.position().clone();
        if spec.forgets_rows && stands.table < first {
            return Err(Error::Topic(format!(
                "`{topic}` partition {number} begins at offset {first}: the embedded broker keeps 5 MB a partition, and \
                 older rows of the table are gone. Start again with a fresh broker and state, or use a real Kafka"
            )));
        }
        if let Some(reason) = distrust(
            &stands,
            store.reaches(),
            (first, end),
            spec.age_max_ms,
            at_ms,
        ) {
            warn!(
                topic,
                partition = number,
                reason,
                "the local copy is rebuilt"
            );
            partition.rows.forget();
            match store.rebuild(&spec.identity_of(number), &spec.options) {
                Ok(Some(new)) => *store = new,
                Ok(None) => {}
                Err(error) => return self.found_room(kafka, number, Err(error)).map(drop),
            }
        }
        let from = match store.position().table {
            1.. if self.spec.settings.fault.is(Fault::SkipTail) => end,
            next => next.max(first),
        };
        partition.rows.reload(Some(store))?;
        let declared = self
            .table_edge
            .map(|edge| self.edges[edge].partitioner)
            .unwrap_or_default();
        let partitioner = (declared, spec.identity.partitions);
        let replay = Replay::new(topic, number, (from, end), partitioner, now);
        partition.phase = Phase::Replaying {
            committed,
            replay,
            started: false,
        };
        Ok(())
    }

    /// A record or the end of the table's topic.
    pub(crate) fn table_event(
        &mut self,
        kafka: &dyn Kafka,
        event: TableEvent<'_>,
    ) -> Result<(), Error> {
        match event {
            TableEvent::Record(record) => {
                let Some(partition) = self.partitions.get_mut(&record.partition) else {
                    return Ok(());
                };
                let Some(store) = &mut partition.store else {
                    return Ok(());
                };
                let Phase::Replaying {
                    committed, replay, ..
                } = &mut partition.phase
                else {
                    return Ok(());
                };
                let is_full = replay.take(&partition.rows, &record)?;
                kafka.reached(Step::Replayed)?;
                if is_full {
                    let no_offsets = committed.iter().all(Option::is_none);
                    let at_ms = replay.at_ms(store, kafka.wall_ms());
                    let written = replay.store(&partition.rows, store, no_offsets, at_ms);
                    let (rows, bytes, done) = replay.progress();
                    replay.log_progress(kafka.now());
                    if !self.found_room(kafka, record.partition, written)? {
                        return Ok(());
                    }
                    self.spec
                        .status
                        .recovering(record.partition, rows, bytes, done);
                    kafka.reached(Step::Replaying)?;
                }
                Ok(())
            }
            TableEvent::End { partition } => self.end_replay(kafka, partition),
            TableEvent::OutOfRange { partition } => {
                // The topic was cut off meanwhile: what its ends are now decides.
                if let Some(table) = kafka.table() {
                    table.stop(partition)?;
                }
                self.set_phase(
                    partition,
                    Phase::Asking {
                        at: self.now + RETRY,
                    },
                );
                Ok(())
            }
            TableEvent::Failed(error) => Err(error),
        }
    }

    fn end_replay(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        let at = kafka.now();
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let Phase::Replaying {
            committed, replay, ..
        } = &mut partition.phase
        else {
            return Ok(());
        };
        if let Some(store) = &mut partition.store
            && replay.next != store.position().table
        {
            let no_offsets = committed.iter().all(Option::is_none);
            let written = replay.store(&partition.rows, store, no_offsets, kafka.wall_ms());
            if written.is_err() {
                return self.found_room(kafka, number, written).map(drop);
            }
        }
        replay.log_end(at);
        partition.table = replay.next;
        if let Err(error) = self.settle_copy(number) {
            return self.found_room(kafka, number, Err(error)).map(drop);
        }
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let Phase::Replaying {
            committed, replay, ..
        } = &mut partition.phase
        else {
            return Ok(());
        };
        // Under exactly-once markers stand between our rows, and nobody else's can.
        if self.spec.settings.guarantee == Guarantee::AtLeastOnce {
            self.ledger.expect_row(number, replay.next);
        }
        partition.phase = Phase::Claiming {
            committed: std::mem::take(committed),
            at,
        };
        if let Some(table) = kafka.table() {
            table.stop(number)?;
        }
        kafka.reached(Step::Replaying)?;
        self.claim(kafka, number)
    }

    /// Tells the group where the partition goes on, which proves that it is ours, and runs it.
    fn claim(&mut self, kafka: &dyn Kafka, number: i32) -> Result<(), Error> {
        if !self.spec.tables.are_up_to_date(number)? {
            // The first record has to find what is in the tables of others.
            if let Some(Phase::Claiming { at, .. }) =
                self.partitions.get_mut(&number).map(|p| &mut p.phase)
            {
                *at = kafka.now() + TABLES_RETRY;
            }
            return Ok(());
        }
        let Some(positions) = self.positions(kafka, number)? else {
            return Ok(());
        };
        if !self.lower_copy(kafka, number, &positions)? {
            return Ok(());
        }
        // The connection has one commit on its way at most.
        self.forget_commit();
        let began = kafka.now();
        let offered: Vec<_> = positions_of(number, &positions).collect();
        let asking = Phase::Asking { at: began + RETRY };
        match kafka.commit(&offered, &self.spec.settings.instance) {
            Ok(()) => {
                self.lease_at = self.lease_at.max(began);
                kafka.assign(number, &positions)?;
                if let Some(partition) = self.partitions.get_mut(&number) {
                    partition.run_from(positions);
                    partition.out_of_range.clear();
                }
                self.spec.status.running(number);
                info!(
                    group = self.spec.program.group(),
                    partition = number,
                    "running"
                );
            }
            Err(CommitError::Denied(error)) => return Err(error),
            Err(CommitError::Again(error) | CommitError::NotMember(error)) => {
                debug!(partition = number, %error, "claiming the partition again");
                self.set_phase(number, asking);
            }
        }
        Ok(())
    }

    /// Where each source goes on; `None` if it could not be found out now.
    fn positions(&mut self, kafka: &dyn Kafka, number: i32) -> Result<Option<Vec<i64>>, Error> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(None);
        };
        let Phase::Claiming { committed, .. } = &partition.phase else {
            return Ok(None);
        };
        let out_of_range = partition.out_of_range.clone();
        let local = partition.store.as_ref().map(Store::position);
        let local = |edge: usize| position_in(&self.spec, &self.edges, local?, edge);
        let settings = &self.spec.settings;
        let wins = |committed, local| match settings.guarantee {
            Guarantee::AtLeastOnce => which_wins(committed, local, &settings.instance),
            Guarantee::ExactlyOnce => group_wins(committed, local),
        };
        let known: Vec<Option<i64>> = self
            .sources
            .iter()
            .zip(committed)
            .map(|(&edge, committed)| wins(committed.as_ref(), local(edge)))
            .collect();
        let table_end = partition.table;
        let is_new = known.iter().all(Option::is_none);
        let start = self.spec.settings.start;
        if is_new && table_end > 0 {
            // Rows may be those of an owner that took over after we had asked for its offsets.
            let still = kafka.committed(number);
            if !still.is_ok_and(|committed| committed.iter().all(Option::is_none)) {
                self.set_phase(number, Phase::Asking { at: now + RETRY });
                return Ok(None);
            }
            match start {
                None => return Err(self.no_offsets()),
                Some(Start::Reset) => {
                    if !self.reset(kafka, number)? {
                        return Ok(None);
                    }
                }
                Some(Start::Earliest | Start::Latest) => {}
            }
        }
        let mut positions = Vec::new();
        for (source, known) in known.into_iter().enumerate() {
            let position = match known {
                Some(offset) if out_of_range.contains(&source) => {
                    match self.in_range(kafka, source, number, offset) {
                        Err(error @ Error::Topic(_)) => return Err(error),
                        offset => offset,
                    }
                }
                Some(offset) => Ok(offset),
                None => kafka
                    .bounds(source, number)
                    .map(|(first, end)| match start {
                        Some(Start::Latest) => end,
                        _ => first,
                    }),
            };
            match position {
                Ok(offset) => positions.push(offset),
                Err(error) => {
                    debug!(partition = number, %error, "asking for the ends of the inputs again");
                    self.set_phase(number, Phase::Asking { at: now + RETRY });
                    return Ok(None);
                }
            }
        }
        Ok(Some(positions))
    }

    fn no_offsets(&self) -> Error {
        let group = self.spec.program.group();
        let topic = self
            .table_edge
            .map_or("its table", |edge| &self.spec.topics[edge]);
        Error::Topic(format!(
            "group `{group}` has no committed offsets, but `{topic}` is not empty: where it should go on cannot be known. \
             Choose with `start`: `earliest` handles every record of the inputs again on top of the table, `latest` only new \
             ones, `reset` deletes the table's rows and begins at the earliest record"
        ))
    }
}
