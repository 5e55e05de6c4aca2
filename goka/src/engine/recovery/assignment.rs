//! Partitions come and go: what the group gives to this member and takes from it.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    base::error::Error,
    engine::{partition::Partition, port::Kafka, worker::Core},
};

/// How long a partition that is given back may take to finish what is in the air.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the positions of a partition that is given back are offered to the group.
const COMMIT_TRIES: usize = 3;

impl Core {
    /// These are ours from now on. Nothing is fetched before they are recovered.
    pub(crate) fn assigned(&mut self, numbers: &[i32]) {
        let group = self.spec.program.group();
        match numbers {
            [] if self.partitions.is_empty() => {
                info!(group, "joined; other workers have all partitions");
            }
            [] => {}
            _ => info!(group, partitions = ?numbers, "assigned"),
        }
        self.spec.status.joined();
        for &number in numbers {
            self.partitions
                .entry(number)
                .or_insert_with(|| Partition::new(number));
            self.spec.status.recovering(number, 0, 0, 0.0);
        }
    }

    /// Finishes and commits these, unless they are `lost` already, and closes them.
    pub(crate) fn give_back(
        &mut self,
        kafka: &dyn Kafka,
        numbers: &[i32],
        lost: bool,
    ) -> Result<(), Error> {
        info!(group = self.spec.program.group(), partitions = ?numbers, lost, "giving back");
        if lost {
            self.spec.status.left();
        }
        self.forget_commit();
        let mut result = Ok(());
        match (lost, self.is_exactly_once()) {
            (true, true) => result = self.drop_transaction(kafka, "the group took partitions"),
            (true, false) => kafka.purge(),
            (false, true) => result = self.finish_transaction(kafka, numbers, FINISH_TIMEOUT),
            (false, false) => result = self.finish(kafka, numbers),
        }
        for &number in numbers {
            if !lost {
                result = result.and(self.store(kafka, number));
            }
            kafka.unassign(number)?;
            if let Some(table) = kafka.table() {
                table.stop(number)?;
            }
            self.spec.status.gone(number);
            self.transaction.unblocked(number);
            let Some(mut partition) = self.partitions.remove(&number) else {
                continue;
            };
            partition.drop_uncommitted();
            self.leave_copy(&mut partition);
        }
        result
    }

    /// Waits for what is in the air, and commits it. What cannot be finished is not committed: its
    /// records run again at the next owner.
    fn finish(&mut self, kafka: &dyn Kafka, numbers: &[i32]) -> Result<(), Error> {
        let give_up = kafka.now() + FINISH_TIMEOUT;
        let mut result = Ok(());
        for &number in numbers {
            result = result.and(self.end_waiting(kafka, number));
        }
        let drained = self.drain(kafka, numbers, give_up);
        result = result.and(drained);
        // The last chance to write our rows over those of somebody else: the next owner would take
        // them for ours. Not when the brokers are away, for that takes long to find out.
        let proven = kafka.now().saturating_sub(self.lease_at) <= self.spec.settings.lease;
        if proven && result.is_ok() {
            let running =
                |number: &&i32| self.partitions.get(number).is_some_and(|p| p.is_running());
            let running: Vec<i32> = numbers.iter().filter(running).copied().collect();
            for number in running {
                self.look_behind(kafka, number)?;
            }
            result = self.drain(kafka, numbers, give_up);
        }
        for _ in 0..COMMIT_TRIES {
            let left = |p: &Partition| p.uncommitted && numbers.contains(&p.number);
            if !self.partitions.values().any(left)
                || kafka.now() > give_up
                || self.commit_offsets(kafka, left)?
            {
                break;
            }
        }
        result
    }

    /// Waits for what is in the air, and settles it.
    fn drain(
        &mut self,
        kafka: &dyn Kafka,
        numbers: &[i32],
        give_up: Duration,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        loop {
            let mut busy = false;
            for &number in numbers {
                let Some(partition) = self.partitions.get(&number).filter(|p| p.is_running())
                else {
                    continue;
                };
                let closed = match partition.closing.is_none() && partition.open.records > 0 {
                    true => self.close_interval(kafka, number),
                    false => Ok(()),
                };
                let advanced = closed.and_then(|()| self.advance_commit(kafka, number));
                if let Err(error) = advanced {
                    // The others are still finished.
                    self.abandon(kafka, number, &error.to_string())?;
                    result = result.and(Err(error));
                }
                let running = self.partitions.get(&number).filter(|p| p.is_running());
                busy |= running.is_some_and(|p| p.closing.is_some() || p.open.records > 0);
            }
            // What failed is dropped, but the rest of it could land behind rows of the next owner.
            busy |= numbers
                .iter()
                .any(|&number| self.ledger.pending(number) > 0);
            if !busy {
                return result;
            }
            if kafka.now() > give_up {
                warn!(
                    group = self.spec.program.group(),
                    "what is in the air was not delivered in time"
                );
                return result;
            }
            self.serve(kafka, Duration::from_millis(2));
        }
    }
}
