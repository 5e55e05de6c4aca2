//! One processor of a running app: what it keeps and does in this process.

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

/// A processor that runs in this process, see [`Running::processor`](crate::Running::processor).
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

    /// What the processor reads and writes.
    pub fn graph(&self) -> Graph {
        Graph::of::<P>()
    }

    /// The partitions that are here, and what they do.
    pub fn state(&self) -> BTreeMap<i32, PartitionState> {
        self.group.partitions()
    }

    /// Counters.
    pub fn stats(&self) -> GroupStats {
        self.group.stats()
    }

    /// The row of the group table at `key` in the local copy, if its partition is here. Only committed rows
    /// are there; where thousands are written in each commit interval, they come once a second.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if the partition is at another instance, or not recovered yet; if the
    /// row does not decode, or the local copy cannot be read.
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

    /// As [`Running::visit`](crate::Running::visit).
    ///
    /// # Errors
    /// As `Running::visit`.
    // Boxed: the bounds of an `async fn` are asked again where it is awaited, and arguments that no
    // visitor takes would be three errors.
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
