//! Tables of other groups, as handlers read them: copies that are kept up to date elsewhere. What a
//! read gives is what the copy has at that moment; it is not part of what the handler commits.

use std::sync::Arc;

use crate::{Error, engine::replica::Replica};

/// The joined and looked up tables of a processor, by index of their edge.
#[derive(Default)]
pub(crate) struct Tables(Vec<Option<Arc<Replica>>>);

impl Tables {
    #[allow(dead_code)] // Joins are wired next.
    pub(crate) fn new(tables: Vec<Option<Arc<Replica>>>) -> Self {
        Tables(tables)
    }

    /// How many partitions the table has.
    pub(crate) fn partitions(&self, edge: usize) -> i32 {
        self.table(edge).map_or(1, |table| table.partitions())
    }

    /// Reads the row at `key`.
    pub(crate) fn read<R>(
        &self,
        edge: usize,
        partition: i32,
        key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        let table = self
            .table(edge)
            .ok_or(Error::Closed("the copy of a joined table"))?;
        if let Some(failure) = table.failure() {
            return Err(Error::Topic(failure));
        }
        let snapshot = table.snapshot(partition)?;
        Ok(with(snapshot.get(key)?))
    }

    fn table(&self, edge: usize) -> Option<&Arc<Replica>> {
        self.0.get(edge)?.as_ref()
    }
}
