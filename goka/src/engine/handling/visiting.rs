//! Visits: calls a visitor for every row of this worker's partitions, between records. Its effects are committed as
//! those of handlers.
//!
//! The progress of a visit in a partition is part of the partition's commit intervals: the rows of a dropped interval
//! are visited again, those of an acknowledged one are not. Must not know what a visitor does.

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
    /// Begins the next requested visit, if none is under way. Returns the partitions of the visit.
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

    /// The next row of a partition to visit, if one can be visited now.
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

    /// Ends the visit if all rows are visited and acknowledged, or if its caller does not wait any more.
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

    /// It is unknown whether a transaction was committed. For the inputs, the committed offsets will show it, but
    /// nothing shows the progress of a visit, and rows must not be visited twice: a visit with rows in the transaction
    /// ends.
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
