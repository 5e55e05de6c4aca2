//! A disk that is full stops the partitions whose local copies need room, and nothing else: they drop
//! what is not committed, and recover again and again, until there is room.

use std::time::Duration;

use crate::{
    base::error::Error,
    engine::{port::Kafka, worker::Core},
};

/// How long a partition rests before it looks for room again: at first, and at most.
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(15);

impl Core {
    /// Passes on what a write to the local copy of a partition came to. `false`: there was no room for
    /// it, and the partition was abandoned. What it has sent is in Kafka, and is read again from there.
    ///
    /// # Errors
    /// If the write failed for another reason. The partition was abandoned too: what it handled since is
    /// not stored behind what is missing.
    pub(crate) fn found_room(
        &mut self,
        kafka: &dyn Kafka,
        number: i32,
        written: Result<(), Error>,
    ) -> Result<bool, Error> {
        let Err(error) = written else {
            return Ok(true);
        };
        let reason = error.to_string();
        let runs = self.partitions.get(&number).is_some_and(|p| p.is_running());
        let dropped = if runs && self.is_exactly_once() {
            // What it has sent since is in the transaction of all.
            self.abort(kafka, &reason)
        } else {
            self.abandon(kafka, number, &reason)
        };
        if !matches!(error, Error::NoRoom { .. }) {
            return Err(error);
        }
        dropped?;
        if let Some(partition) = self.partitions.get_mut(&number) {
            let rest = REST_MIN.saturating_mul(1 << partition.rests.min(10));
            partition.rests += 1;
            partition.rests_until = kafka.now() + rest.min(REST_MAX);
            self.spec.status.no_room(number);
        }
        Ok(false)
    }
}
