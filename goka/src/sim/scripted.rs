//! A program that consists of closures, for tests of the engine: its handlers have no types and no codecs.

use std::{any::Any, rc::Rc, sync::Arc};

use crate::{
    base::{
        index::EdgeIx,
        record::{OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        program::{EdgeInfo, Failure, Program, Reads, SharedReads, Waiting},
    },
};

type Handle =
    dyn Fn(EdgeIx, Record<'_>, &mut Effects, Reads<'_>) -> Result<(), Failure> + Send + Sync;
type HandleLater = dyn Fn(EdgeIx, Rc<OwnedRecord>, Effects, SharedReads) -> Waiting + Send + Sync;

/// A program that calls a closure for every record; see [`Program::handle`].
pub(crate) struct Scripted {
    group: &'static str,
    edges: Vec<EdgeInfo>,
    handle: Box<Handle>,
    handle_later: Box<HandleLater>,
}

impl Scripted {
    /// A program whose handlers do not wait.
    pub(crate) fn new(
        group: &'static str,
        edges: Vec<EdgeInfo>,
        handle: impl Fn(EdgeIx, Record<'_>, &mut Effects, Reads<'_>) -> Result<(), Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Scripted {
            group,
            edges,
            handle: Box::new(handle),
            handle_later: Box::new(|_, _, _, _| unreachable!("no handler waits")),
        }
    }

    /// Sets another closure, which is called for the records of edges whose handler waits; see
    /// [`Program::handle_later`].
    pub(crate) fn later(
        self,
        handle_later: impl Fn(EdgeIx, Rc<OwnedRecord>, Effects, SharedReads) -> Waiting
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Scripted {
            handle_later: Box::new(handle_later),
            ..self
        }
    }
}

impl Program for Scripted {
    fn group(&self) -> &'static str {
        self.group
    }

    fn edges(&self) -> Vec<EdgeInfo> {
        self.edges.clone()
    }

    fn handle(
        &self,
        edge: EdgeIx,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure> {
        (self.handle)(edge, record, effects, reads)
    }

    fn handle_later(
        &self,
        edge: EdgeIx,
        record: Rc<OwnedRecord>,
        effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        (self.handle_later)(edge, record, effects, reads)
    }

    fn processor(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(())
    }
}
