//! Handle of one processor of a running app: rows of its table, states, counters, visits. Must not know its workers.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use crate::{
    app::group::{Group, GroupStats},
    base::{
        error::{Error, Result},
        state::PartitionState,
    },
    typed::{
        check::has_table,
        codec::Codec,
        context::{KeyOf, ValueOf},
        drawing::Graph,
        edge::{Persists, Visits},
        key::Key,
        processor::Processor,
        program::TypedVisit,
        topic::Topic,
    },
};

/// Handle of a processor that runs in this process: reads its table, its state and its statistics, and starts visits.
///
/// [`Running::processor`](crate::Running::processor) returns a handle. Clones of a handle are cheap, and many threads
/// can use them.
pub struct ProcessorHandle<P> {
    processor: Arc<P>,
    group: Group,
}

impl<P> Clone for ProcessorHandle<P> {
    fn clone(&self) -> Self {
        ProcessorHandle {
            processor: self.processor.clone(),
            group: self.group.clone(),
        }
    }
}

impl<P> fmt::Debug for ProcessorHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorHandle")
            .field("stats", &self.group.stats())
            .finish_non_exhaustive()
    }
}

impl<P: Processor> ProcessorHandle<P> {
    pub(super) fn new(processor: Arc<P>, group: Group) -> Self {
        ProcessorHandle { processor, group }
    }

    /// The graph of the processor: what it reads and writes.
    pub fn graph(&self) -> Graph {
        Graph::of::<P>()
    }

    /// The partitions of the group that are assigned to this process, and their states.
    pub fn state(&self) -> BTreeMap<i32, PartitionState> {
        self.group.partitions()
    }

    /// Statistics of the processor in this process.
    pub fn stats(&self) -> GroupStats {
        self.group.stats()
    }

    /// Reads the row of the group table at `key` from the local copy; `None` if there is no row.
    ///
    /// The local copy contains only committed rows. If a commit interval writes thousands of rows, the local copy is
    /// updated once per second.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if the partition of the key is not assigned to this instance, or has not recovered yet;
    /// [`Error::Decode`] if the row does not decode; and if the local copy cannot be read.
    pub fn get<T: Topic>(&self, key: &KeyOf<T>) -> Result<Option<ValueOf<T>>>
    where
        P: Persists<T>,
    {
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let partition = T::PARTITIONER.partition(&bytes, self.group.partitions);
        for worker in &self.group.workers {
            let Some(snapshot) = worker.status.snapshot(partition)? else {
                continue;
            };
            let row = snapshot.get(&bytes)?.map(T::Codec::decode).transpose();
            return row.map_err(Error::decode(P::TOPIC.name));
        }
        let group = P::GROUP;
        Err(Error::Elsewhere { group, partition })
    }

    /// Visits all rows of the processor's table in this process, see [`Running::visit`](crate::Running::visit).
    ///
    /// # Errors
    /// The errors of [`Running::visit`](crate::Running::visit).
    // Boxed: rustc checks the bounds of an `async fn` again where it is awaited, so arguments that no visitor takes
    // would cause three compile errors.
    pub fn visit<A: Visits<P>>(
        &self,
        args: A,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send>> {
        const { has_table::<P>() };
        let processor = self.processor.clone();
        let visit = TypedVisit { processor, args };
        Box::pin(self.group.clone().visit(Arc::new(visit)))
    }
}
