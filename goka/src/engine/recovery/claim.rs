//! The claim of a partition: undoes the tail of its changelog, and starts to run the partition once the group has taken
//! the positions at which it resumes. Must not know how the positions and the rows are committed.

use std::time::Duration;

use tracing::{debug, info};

use super::{
    phase::Phase,
    state::{RETRY, Recovery},
    tail::Start,
    undo::Undone,
};
use crate::{
    base::error::Error,
    engine::{
        env::Env,
        halt::{Halt, stored},
        partition::{Partition, Partitions},
        port::{GroupOffsets, fault::Fault},
        table::overlay::Overlay,
    },
};

/// How long to wait before tables of other groups are checked again.
const TABLES_RETRY: Duration = Duration::from_millis(5);

impl Recovery {
    /// The committed offsets of a partition that is being claimed, and whether a reset has deleted its rows. `None`:
    /// the partition is not being claimed.
    pub(super) fn claiming(&self, number: i32) -> Option<(&GroupOffsets, bool)> {
        match self.phases.get(&number) {
            Some(Phase::Claiming {
                offsets, is_reset, ..
            }) => Some((offsets, *is_reset)),
            _ => None,
        }
    }

    /// Returns whether those tables of other groups that the handlers of a partition read are up to date. They have to
    /// be before the first record is handled; if they are not, this puts off the claim.
    ///
    /// # Errors
    /// One of these tables is no longer kept up to date.
    pub(crate) fn has_tables(&mut self, env: &Env<'_>, number: i32) -> Result<bool, Error> {
        let is_up_to_date = env.spec.tables.are_up_to_date(number)?;
        if !is_up_to_date && let Some(Phase::Claiming { at, .. }) = self.phases.get_mut(&number) {
            *at = env.kafka.now() + TABLES_RETRY;
        }
        Ok(is_up_to_date)
    }

    /// The previous owners of a partition, whose records may still arrive. Empty under at-least-once.
    pub(crate) fn previous_owners(&self, number: i32) -> Vec<String> {
        self.blocked.owners(number)
    }

    /// The changelog offset behind all rows that belong to the positions at which a partition resumes.
    pub(crate) fn claimed_changelog(
        &self,
        env: &Env<'_>,
        partitions: &Partitions,
        number: i32,
    ) -> i64 {
        let copy = partitions.get(number).map(Partition::copy);
        let store = copy.and_then(|copy| copy.store());
        match env.spec.settings.fault.is(Fault::ClaimOldT) {
            true => store.map_or(0, |store| store.position().changelog),
            false => copy.map_or(0, |copy| copy.changelog()),
        }
    }

    /// Starts to run the partition from these positions, after the group has accepted the claim. The local copy now has
    /// the claimed position.
    pub(crate) fn run(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        positions: Vec<i64>,
    ) -> Result<(), Halt> {
        let kept = match self.phases.get_mut(&number) {
            Some(Phase::Claiming { kept, .. }) => std::mem::take(kept),
            _ => Overlay::default(),
        };
        if let Some(partition) = partitions.get_mut(number) {
            let at_ms = env.kafka.wall_ms();
            let position = (env.edges.named(&positions), at_ms);
            stored(number, partition.copy_mut().claimed(position, kept))?;
        }
        env.kafka.assign(number, &positions)?;
        if let Some(partition) = partitions.get_mut(number) {
            partition.run_from(env.kafka.now(), positions);
        }
        self.phases.remove(&number);
        env.spec.status.running(number);
        info!(group = env.group(), partition = number, "running");
        Ok(())
    }

    /// Whether a tail is still to be undone before a partition is claimed.
    pub(crate) fn must_undo(&self, number: i32) -> bool {
        matches!(
            self.phases.get(&number),
            Some(Phase::Claiming { undo: Some(_), .. })
        )
    }

    /// Advances the undo of a partition's tail. Afterwards, the changelog offset of the partition's copy is behind the
    /// rows that were written.
    pub(crate) fn undo(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Undone, Halt> {
        let Some(Phase::Claiming {
            offsets,
            undo: rows,
            kept,
            share,
            ..
        }) = self.phases.get_mut(&number)
        else {
            return Ok(Undone::Again);
        };
        let Some(undo) = rows else {
            return Ok(Undone::Done);
        };
        match undo.advance(env, partitions, number, kept)? {
            Undone::Done => {}
            Undone::Waiting => return Ok(Undone::Waiting),
            Undone::Again => {
                let at = env.now() + RETRY;
                self.set(number, Phase::FetchingOffsets { at });
                return Ok(Undone::Again);
            }
        }
        *rows = None;
        let Some(share) = share.next() else {
            return Ok(Undone::Done);
        };
        let offsets = std::mem::take(offsets);
        let start = Start::share(share, std::mem::take(kept));
        self.begin_restore(env, partitions, number, offsets, start)?;
        Ok(Undone::Again)
    }

    /// Goes back to fetching the committed offsets, after the group refused the claim.
    pub(crate) fn not_claimed(
        &mut self,
        env: &Env<'_>,
        number: i32,
        began: Duration,
        error: &Error,
    ) {
        debug!(group = env.group(), partition = number, %error, "claim refused; fetching offsets again");
        self.set(number, Phase::FetchingOffsets { at: began + RETRY });
    }
}
