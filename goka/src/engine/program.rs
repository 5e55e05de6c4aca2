//! A processor without its types: the interface between typed handlers and the engine. Must not know codecs.

use std::{any::Any, pin::Pin, rc::Rc, sync::Arc};

use crate::{
    base::{
        config::Config,
        error::{BoxError, Error},
        index::EdgeIx,
        kind::Kind,
        options::{ProcessorOptions, TableOptions},
        partitioner::Partitioner,
        policy::OnError,
        record::{OwnedRecord, Record},
    },
    engine::{effects::Effects, replica::tables::Tables, table::rows::Rows},
};

/// A processor as the engine sees it: a group, edges, and a way to handle a record's bytes.
pub(crate) trait Program: Send + Sync {
    fn group(&self) -> &'static str;

    /// The edges of the graph. The engine names an edge by its index in this list.
    fn edges(&self) -> Vec<EdgeInfo>;

    /// Calls the handler of an edge. The handler adds its effects to `effects`. The caller passes `effects` empty, and
    /// clears `effects` after an error.
    fn handle(
        &self,
        edge: EdgeIx,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure>;

    /// Calls the async handler of an edge ([`EdgeInfo::waits`]), and returns its future. The future owns everything
    /// that it uses, stays on the worker's thread, and returns the effects.
    fn handle_later(
        &self,
        edge: EdgeIx,
        record: Rc<OwnedRecord>,
        effects: Effects,
        reads: SharedReads,
    ) -> Waiting;

    /// The options of the processor, which override the settings of the app.
    fn options(&self) -> ProcessorOptions {
        ProcessorOptions::DEFAULT
    }

    /// Prepares the codec of each edge, before the group starts. `topics` are the physical topics of the edges.
    fn prepare(&self, _topics: &[String], _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    /// The processor itself, for callers that know its type.
    fn processor(&self) -> Arc<dyn Any + Send + Sync>;
}

/// A visitor together with its arguments. The engine calls the visitor for each row of the group table. The record
/// that the visitor gets has the key of the row and no value.
pub(crate) trait Visit: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether the visitor is an `async fn`.
    fn waits(&self) -> bool;

    /// The error policies for rows that the visitor cannot handle.
    fn on_error(&self) -> OnError;

    /// Calls the visitor, as [`Program::handle`] calls a handler.
    fn visit(
        &self,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure>;

    /// Calls the async visitor, as [`Program::handle_later`] calls an async handler.
    fn visit_later(&self, record: Rc<OwnedRecord>, effects: Effects, reads: SharedReads)
    -> Waiting;
}

/// The tables that a handler can read.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    /// The rows of the group table in the partition of the handled record.
    pub(crate) rows: &'a Rows,
    /// Tables of other groups.
    pub(crate) tables: &'a Tables,
}

/// The tables that an async handler can read.
pub(crate) struct SharedReads {
    pub(crate) rows: Rc<Rows>,
    pub(crate) tables: Arc<Tables>,
}

impl SharedReads {
    pub(crate) fn as_reads(&self) -> Reads<'_> {
        Reads {
            rows: &self.rows,
            tables: &self.tables,
        }
    }
}

/// The future of an async handler or visitor.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = (Effects, Result<(), Failure>)>>>;

/// An edge of the graph, as data.
#[derive(Clone, Debug)]
pub(crate) struct EdgeInfo {
    pub(crate) kind: Kind,
    /// The logical name of the topic.
    pub(crate) topic: &'static str,
    pub(crate) partitioner: Partitioner,
    /// The name of the codec of the values. For a table, this name is part of the format.
    pub(crate) codec: &'static str,
    /// The options of the table, if the edge is a table.
    pub(crate) options: TableOptions,
    /// Whether the handler is an `async fn`.
    pub(crate) waits: bool,
    /// Name of the handler.
    pub(crate) handler: &'static str,
    /// The error policies for records that the handler cannot handle. Every dead-letter policy among them names its
    /// topic.
    pub(crate) on_error: OnError,
}

/// Why a record could not be handled. The engine turns a panic of the handler into a failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// What was attempted, for the text of [`crate::Error::Record`]: "decode the key", "decode the value", "run".
    pub(crate) doing: &'static str,
    pub(crate) source: BoxError,
}

/// The stage at which a record failed. The stage determines which error policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The bytes of the record could not be decoded.
    Decode,
    /// The handler returned an error.
    Handler,
    /// The handler panicked.
    Panic,
    /// The record is not the cause: other records would fail as well. The processor fails, whatever the error policies
    /// say.
    Broken,
}
