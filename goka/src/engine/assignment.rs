//! What a worker does when the group assigns partitions to this member or revokes them. Must not know how partitions
//! recover or commit.

use std::time::Duration;

use tracing::info;

use crate::{
    base::error::Error,
    engine::{core::Core, halt::Halt, port::Kafka},
};

/// The longest time for which a worker waits for records in flight before it gives partitions back.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

impl Core {
    /// Adds the partitions that the group has assigned, and begins their recovery. No record of a partition is fetched
    /// before the partition has recovered.
    pub(super) fn assigned(&mut self, kafka: &dyn Kafka, numbers: &[i32]) {
        let env = self.surroundings.env(kafka);
        let group = env.group();
        match numbers {
            [] if self.partitions.is_empty() => {
                info!(group, "joined the group; other workers have all partitions");
            }
            [] => {}
            _ => info!(group, partitions = ?numbers, "assigned"),
        }
        env.spec.status.joined();
        for &number in numbers {
            if self.partitions.get(number).is_none() {
                self.partitions.add(number);
                self.recovery.begin(&env, number);
            }
        }
    }

    /// Gives partitions back: unless they are `lost`, waits for their records in flight and commits the handled
    /// records. Closes the local copies of the partitions.
    pub(super) fn give_back(
        &mut self,
        kafka: &dyn Kafka,
        numbers: &[i32],
        lost: bool,
    ) -> Result<(), Error> {
        let env = self.surroundings.env(kafka);
        info!(group = env.group(), partitions = ?numbers, lost, "giving up partitions");
        let mut result = match lost {
            true => {
                self.commit.forget(&mut self.partitions);
                env.spec.status.left();
                let lost = self.commit.lose(&env, &self.partitions);
                self.unless_set_back(kafka, lost).map(|_| ())
            }
            false => self.finish(kafka, numbers),
        };
        for &number in numbers {
            if !lost {
                let env = self.surroundings.env(kafka);
                let stored = self.commit.store(&env, &mut self.partitions, number);
                result = result.and(self.unless_set_back(kafka, stored).map(|_| ()));
            }
            kafka.unassign(number)?;
            if let Some(reader) = kafka.table() {
                reader.stop(number)?;
            }
            let env = self.surroundings.env(kafka);
            env.spec.status.gone(number);
            self.recovery.forget(number);
            if let Some(mut partition) = self.partitions.remove(number) {
                partition.drop_uncommitted();
                self.recovery.leave(&env, number, partition);
            }
        }
        result
    }

    /// Waits for the records in flight of these partitions, and commits the handled records. Handled records whose
    /// effects are not delivered in time run again at the next owner. After an error in one partition, the other
    /// partitions are still finished, and the first error is returned.
    fn finish(&mut self, kafka: &dyn Kafka, numbers: &[i32]) -> Result<(), Error> {
        let give_up = kafka.now() + FINISH_TIMEOUT;
        let mut result = Ok(());
        for &number in numbers {
            let ended = self.end_waiting(kafka, number);
            result = result.and(self.unless_set_back(kafka, ended).map(|_| ()));
        }
        loop {
            let env = self.surroundings.env(kafka);
            let is_well = result.is_ok();
            match self
                .commit
                .finish(&env, &mut self.partitions, numbers, give_up, is_well)
            {
                Ok(()) => return result,
                // Each setback voids the work of at least one partition, so that the loop ends.
                Err(Halt::Setback(setback)) => {
                    result = result.and(self.set_back(kafka, *setback));
                }
                Err(Halt::Fatal(error)) => return result.and(Err(error)),
            }
        }
    }
}
