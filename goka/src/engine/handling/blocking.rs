//! Handlers that keep the worker's thread. Reports and commits are looked after by time as well as by
//! number of records, and what a handler did takes effect only if its partition is still surely ours.
//! Must not know what a handler does.

use std::time::Duration;

use crate::{
    base::error::Error,
    engine::{partition::Origin, port::Kafka, worker::Core},
};

/// So long after the last look records wait for the next one: in that time a broker answers.
pub(crate) const LOOK_AFTER: Duration = Duration::from_millis(5);
/// What share of the lease the thread may have been kept before membership is proven anew, so that
/// what waits in the producer is not given up for its age.
const SHARE_OF_LEASE: u32 = 4;

impl Core {
    /// Takes delivery reports, and commits what is due: often enough that what was sent behind a slow
    /// handler is not given up, and no transaction gets too old.
    pub(crate) fn look(&mut self, kafka: &dyn Kafka) -> Result<(), Error> {
        let away = self.now.saturating_sub(self.served_at);
        if !self.is_exactly_once() && away > self.spec.settings.lease / SHARE_OF_LEASE {
            // If the group does not take it now, that decides nothing yet: the lease does.
            self.commit_offsets(kafka, |_| true)?;
        }
        self.serve(kafka, Duration::ZERO);
        self.commit_due(kafka)?;
        self.served_at = kafka.now();
        Ok(())
    }

    /// Whether what a handler has done, which began at `self.now`, may take effect: it may have taken
    /// longer than its partition is surely ours. `false`: the partition was dropped.
    pub(crate) fn may_conclude(
        &mut self,
        kafka: &dyn Kafka,
        origin: Origin,
    ) -> Result<bool, Error> {
        // The clock ticks every few milliseconds.
        let now = kafka.now();
        if now == self.now {
            return Ok(true);
        }
        let took = now.saturating_sub(self.now);
        if took > self.spec.settings.handler_max && self.is_exactly_once() {
            let reason = self.too_long(origin, took);
            self.abort(kafka, &reason)?;
            self.count_failure(origin.partition, &reason)?;
            return Ok(false);
        }
        self.make_room(kafka, origin.partition)
    }

    fn too_long(&self, origin: Origin, took: Duration) -> String {
        format!(
            "handler `{}` took {} ms: topic `{}`, partition {}, offset {}; that is more than half of \
             `transaction.timeout.ms`, in which all that a transaction holds must be committed: raise it \
             (`Config::set_producer`), or let the handler wait in an `async fn`",
            self.handler_of(origin),
            took.as_millis(),
            self.topic_of(origin),
            origin.partition,
            origin.offset
        )
    }
}
