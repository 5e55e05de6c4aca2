//! Applies effects: the row goes to the rows of the partition and to the changelog, and output records go to the
//! producer. Must not know when effects are applied.

use super::state::Handling;
use crate::{
    base::error::Error,
    engine::{
        effects::{Effects, Row},
        env::Env,
        halt::{Halt, Setback},
        partition::{
            Partitions,
            ledger::{Ledger, Sent},
            origin::Origin,
        },
        port::{Outgoing, Step, fault::Fault},
    },
};

impl Handling {
    /// Applies the effects of a record: sends the effects, and adds them to the open interval.
    ///
    /// # Errors
    /// The producer refused one of the effects. In this case, the open interval is void: it contains only a part of
    /// the effects, and this part must not be committed, not even by a worker that closes.
    pub(super) fn apply(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        origin: Origin,
        key: Option<&[u8]>,
        effects: &Effects,
    ) -> Result<(), Halt> {
        self.write(env, partitions, origin, key, effects)
            .map_err(|error| Setback::fatal(origin.partition, error))?;
        env.spec.status.handled();
        Ok(env.kafka.reached(Step::Handled)?)
    }

    fn write(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        origin: Origin,
        key: Option<&[u8]>,
        effects: &Effects,
    ) -> Result<(), Error> {
        let number = origin.partition;
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let half = partition.intervals().open_half();
        let timestamp = match origin.timestamp {
            unknown if unknown < 0 => env.kafka.wall_ms(),
            timestamp => timestamp,
        };
        let row = match effects.row() {
            Row::Untouched => None,
            Row::Put(range) => Some(Some(effects.bytes(range))),
            Row::Delete => Some(None),
        };
        if let (Some(value), Some(key)) = (row, key) {
            partition.rows().write(key, value);
            // The rows of a table that coalesces are sent when the interval closes.
            let is_sent_later = env.edges.coalesce()
                || value.is_none() && env.spec.settings.fault.is(Fault::DropTombstone);
            if !is_sent_later {
                let account = (number, half, Sent::Row);
                partitions.send_row(env, account, (key, value), timestamp)?;
            }
        }
        for emit in effects.emits() {
            let key = emit.key.as_ref().map(|range| effects.bytes(range));
            let value = emit.value.as_ref().map(|range| effects.bytes(range));
            let partition = match emit.partition {
                Some(partition) => partition,
                None => self.partition_of(env, emit.edge, key),
            };
            let record = Outgoing {
                target: emit.edge,
                partition,
                key,
                value,
                timestamp: emit.timestamp.unwrap_or(timestamp),
                headers: &emit.headers,
                tag: Ledger::tag(number, half, Sent::Output),
            };
            partitions.send(env, &record)?;
        }
        if let Some(partition) = partitions.get_mut(number) {
            partition.handled(env.now(), origin, timestamp, key);
        }
        Ok(())
    }
}
