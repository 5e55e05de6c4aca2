//! Visits: calls a visitor for every row of this worker's partitions, between records. The effects of a visitor are
//! committed like those of a handler.
//!
//! The progress of a visit in a partition is part of the partition's commit intervals: rows in a dropped interval are
//! visited again, and rows in an acknowledged interval are not. Must not know what a visitor does.

use std::sync::Arc;

use super::{
    state::Handling,
    visit::{Visiting, Walk},
};
use crate::{
    base::error::Error,
    engine::{
        env::Env,
        partition::{
            Partitions,
            origin::{By, Origin},
        },
        program::Visit,
        visits::{Asked, Cancelled},
    },
};

/// A row to visit.
pub(crate) struct RowVisit {
    pub(crate) visit: Arc<dyn Visit>,
    pub(crate) origin: Origin,
    pub(crate) key: Vec<u8>,
}

impl Handling {
    /// Begins the next requested visit, if no visit is under way. Returns the partitions of the visit that is now
    /// under way.
    pub(crate) fn begin_visit(&mut self, env: &Env<'_>, partitions: &Partitions) -> Vec<i32> {
        if self.visiting.is_none()
            && let Some(Asked { visit, reply }) = env.spec.visits.next()
        {
            self.visits_begun += 1;
            let walks = partitions.iter().map(|(number, _)| (number, Walk::new()));
            self.visiting = Some(Visiting {
                id: self.visits_begun,
                visit,
                reply,
                walks: walks.collect(),
            });
        }
        let walks = self
            .visiting
            .iter()
            .flat_map(|visiting| visiting.walks.keys());
        walks.copied().collect()
    }

    /// The next row of a partition to visit, if a row can be visited now. Ends the visit if the partition went to
    /// another worker before its visit was done.
    pub(crate) fn next_row(
        &mut self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
    ) -> Result<Option<RowVisit>, Error> {
        let Some(visiting) = &mut self.visiting else {
            return Ok(None);
        };
        let (id, visit) = (visiting.id, visiting.visit.clone());
        let Some(walk) = visiting.walks.get_mut(&number) else {
            return Ok(None);
        };
        let Some(partition) = partitions.get_mut(number) else {
            if !walk.is_done() {
                self.end_visit(Some(number));
            }
            return Ok(None);
        };
        let Some(key) = walk.next(partition, id)? else {
            if walk.is_walking() && !partition.intervals().visited().is_of(id) {
                self.end_visit(Some(number));
            }
            return Ok(None);
        };
        let origin = Origin {
            partition: number,
            by: By::Visit(id),
            offset: -1,
            timestamp: env.kafka.wall_ms(),
            attempts: 0,
        };
        Ok(Some(RowVisit { visit, origin, key }))
    }

    /// Ends the visit if all rows are visited and acknowledged, or if the caller that requested the visit does not
    /// wait any more.
    pub(crate) fn end_visit_if_done(&mut self) {
        let Some(visiting) = &self.visiting else {
            return;
        };
        if visiting.reply.is_closed() {
            self.visiting = None;
        } else if visiting.walks.values().all(Walk::is_done) {
            self.end_visit(None);
        }
    }

    /// Ends the visit if it has rows in a transaction whose outcome is unknown. For the inputs, the committed offsets
    /// will show the outcome. Nothing shows the outcome for a visit, and no row may be visited twice.
    pub(crate) fn doubt_visit(&mut self, partitions: &Partitions) {
        let Some(Visiting { id, .. }) = self.visiting else {
            return;
        };
        if let Some(number) = partitions.next(0, |p| p.intervals().is_visit_closing(id)) {
            self.end_visit(Some(number));
        }
    }

    fn end_visit(&mut self, lost: Option<i32>) {
        if let Some(Visiting { reply, walks, .. }) = self.visiting.take() {
            let keys = walks.values().map(Walk::keys).sum();
            let answer = match lost {
                None => Ok(keys),
                Some(partition) => Err(Cancelled { partition, keys }),
            };
            // The caller may have stopped waiting.
            let _ = reply.send(answer);
        }
    }
}
