//! Visits: a visitor is called for every row of the partitions that are here, between records, within the commit
//! protocol.
//!
//! How far a visit has come in a partition belongs to the partition's commit intervals: a dropped interval is visited
//! again, an acknowledged one is not. Must not know what a visitor does.

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

/// A row that is to be visited.
pub(crate) struct RowVisit {
    pub(crate) visit: Arc<dyn Visit>,
    pub(crate) origin: Origin,
    pub(crate) key: Vec<u8>,
}

impl Handling {
    /// The partitions of the visit that is under way, after beginning the next one that was asked for.
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

    /// The next row of a partition, if one can be visited now.
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

    /// Ends the visit if it is through, or if nobody waits for it any more.
    pub(crate) fn end_visit_if_done(&mut self) {
        let Some(visiting) = &self.visiting else {
            return;
        };
        if visiting.reply.is_closed() {
            // The caller has given up.
            self.visiting = None;
        } else if visiting.walks.values().all(Walk::is_done) {
            self.end_visit(None);
        }
    }

    /// A commit failed that may have taken place. The group can tell what it holds of the inputs, but nothing tells
    /// how far a visit came, and rows must not be visited twice: a visit with rows in it ends.
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
            // The caller may have given up.
            let _ = reply.send(answer);
        }
    }
}
