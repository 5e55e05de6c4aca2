//! Tables of other groups, as handlers read them for joins and lookups. A read returns what the replica has at that
//! moment; the read is not part of the handler's transaction. Must not know types.

use std::sync::Arc;

use crate::{
    base::{error::Error, index::EdgeIx, kind::Kind},
    engine::replica::{board::Wanted, following::Replica},
};

/// The tables that a processor joins or looks up.
#[derive(Default)]
pub(crate) struct Tables {
    /// The tables, each at the index of its edge. `None`: the edge is not a table that is joined or looked up.
    tables: Vec<Option<Table>>,
    /// Keeps all partitions of looked-up tables open, because any key may be read; with a standby, also all partitions
    /// of joined tables.
    _all: Vec<Wanted>,
}

struct Table {
    kind: Kind,
    replica: Arc<Replica>,
}

impl Tables {
    /// `tables` has each table at the index of its edge, with the kind of the edge.
    pub(crate) fn new(tables: Vec<Option<(Kind, Arc<Replica>)>>) -> Self {
        let tables: Vec<_> = tables
            .into_iter()
            .map(|table| table.map(|(kind, replica)| Table { kind, replica }))
            .collect();
        let looked_up = tables.iter().flatten();
        let looked_up = looked_up.filter(|table| table.kind == Kind::Lookup);
        let _all = looked_up
            .flat_map(|table| table.replica.want_all())
            .collect();
        Tables { tables, _all }
    }

    /// Keeps all partitions of joined tables open, not only those that are assigned to this process.
    pub(crate) fn want_all(&mut self) {
        let joined = self.tables.iter().flatten();
        let joined = joined.filter(|table| table.kind == Kind::Join);
        self._all
            .extend(joined.flat_map(|table| table.replica.want_all()));
    }

    /// Whether all partitions of all tables have been read to their ends since they were wanted.
    ///
    /// # Errors
    /// [`Error::Stale`] if a local copy is no longer updated.
    pub(crate) fn are_all_up_to_date(&self) -> Result<bool, Error> {
        for Table { replica, .. } in self.tables.iter().flatten() {
            replica.check()?;
            if !(0..replica.partitions()).all(|number| replica.is_up_to_date(number)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps this partition of the joined tables open until the returned values are dropped.
    pub(crate) fn want(&self, partition: i32) -> Vec<Wanted> {
        let joined = self.tables.iter().flatten();
        let joined = joined.filter(|table| table.kind == Kind::Join);
        joined.map(|table| table.replica.want(partition)).collect()
    }

    /// Whether the handlers of this partition see everything that was in the tables when the tables' partitions were
    /// wanted.
    ///
    /// # Errors
    /// [`Error::Stale`] if a local copy is no longer updated.
    pub(crate) fn are_up_to_date(&self, partition: i32) -> Result<bool, Error> {
        for Table { kind, replica } in self.tables.iter().flatten() {
            replica.check()?;
            let is_up_to_date = match kind {
                Kind::Join => replica.is_up_to_date(partition),
                _ => (0..replica.partitions()).all(|number| replica.is_up_to_date(number)),
            };
            if !is_up_to_date {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The number of partitions of the table at this edge.
    pub(crate) fn partitions(&self, edge: EdgeIx) -> i32 {
        self.replica(edge).map_or(1, |replica| replica.partitions())
    }

    /// Reads the row at `key`.
    ///
    /// # Errors
    /// [`Error::Stale`] if the local copy is no longer updated; another error if the copy cannot be read.
    pub(crate) fn read<R>(
        &self,
        edge: EdgeIx,
        partition: i32,
        key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        let replica = self
            .replica(edge)
            .ok_or(Error::Closed("the local copy of a joined table"))?;
        replica.check()?;
        let snapshot = replica.snapshot(partition)?;
        Ok(with(snapshot.get(key)?))
    }

    fn replica(&self, edge: EdgeIx) -> Option<&Replica> {
        Some(&self.tables.get(edge.index())?.as_ref()?.replica)
    }
}
