//! A processor without its types: the door between handlers and engine.

use std::{any::Any, pin::Pin, rc::Rc, sync::Arc};

use crate::{
    base::{
        config::Config,
        error::{BoxError, Error},
        kind::Kind,
        options::{ProcessorOptions, TableOptions},
        partitioner::Partitioner,
        policy::OnError,
        record::{OwnedHeaders, Record, headers_size},
    },
    engine::{effects::Effects, replica::tables::Tables, table::rows::Rows},
};

/// A processor as the engine sees it: a group, edges, and a way to handle a record's bytes.
pub(crate) trait Program: Send + Sync {
    fn group(&self) -> &'static str;

    /// The graph, as plain data; other modules name an edge by its index here.
    fn edges(&self) -> Vec<EdgeInfo>;

    /// Handles a record of the edge at `edge` and leaves what the handler did in `effects`, which is
    /// empty when called. On an error, `effects` is to be dropped.
    fn handle(
        &self,
        edge: usize,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure>;

    /// The same for a handler that waits ([`EdgeInfo::waits`]). It owns what it needs, stays on the
    /// thread, and gives the effects back.
    fn handle_later(
        &self,
        edge: usize,
        record: Rc<OwnedRecord>,
        effects: Effects,
        reads: SharedReads,
    ) -> Waiting;

    /// How it runs, where it differs from the settings of the app.
    fn options(&self) -> ProcessorOptions {
        ProcessorOptions::DEFAULT
    }

    /// Prepares the codec of each edge, before the group starts. `topics` are the physical names of the edges.
    fn prepare(&self, _topics: &[String], _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    /// The processor itself, for who knows its type.
    fn processor(&self) -> Arc<dyn Any + Send + Sync>;
}

/// A visitor with its arguments, to be called for each row of the group table. The record has the
/// key and no value; its edge is the table's.
pub(crate) trait Visit: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether it is an `async fn`.
    fn waits(&self) -> bool;

    /// What is done about a row that it cannot handle.
    fn on_error(&self) -> OnError;

    /// As [`Program::handle`].
    fn visit(
        &self,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure>;

    /// As [`Program::handle_later`].
    fn visit_later(&self, record: Rc<OwnedRecord>, effects: Effects, reads: SharedReads)
    -> Waiting;
}

/// What a handler can read beside its record.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    /// Of its partition.
    pub(crate) rows: &'a Rows,
    /// Of other groups.
    pub(crate) tables: &'a Tables,
}

/// The same for a handler that waits.
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

/// A handler that waits.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = (Effects, Result<(), Failure>)>>>;

/// An edge of the graph, as data.
#[derive(Clone, Debug)]
pub(crate) struct EdgeInfo {
    pub(crate) kind: Kind,
    /// Logical name.
    pub(crate) topic: &'static str,
    pub(crate) partitioner: Partitioner,
    /// Name of the codec of its values: part of the format of a table.
    pub(crate) codec: &'static str,
    /// Of a table: how its group keeps it.
    pub(crate) options: TableOptions,
    /// Whether its handler is an `async fn`.
    pub(crate) waits: bool,
    /// The name of its handler.
    pub(crate) handler: &'static str,
    /// What is done about records that it cannot handle; each dead-letter topic is named.
    pub(crate) on_error: OnError,
}

/// Why a record could not be handled. A panic of the handler is caught by the engine.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// For [`crate::Error::Record`]: "decode its key", "decode its value", "run".
    pub(crate) doing: &'static str,
    pub(crate) source: BoxError,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The bytes of the record.
    Decode,
    /// Its handler.
    Handler,
    /// The same, by a panic.
    Panic,
    /// Not the record: another one would fail as well, so that no policy applies.
    Broken,
}

/// A record that outlives the poll that brought it.
pub(crate) struct OwnedRecord {
    pub(crate) edge: usize,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: OwnedHeaders,
}

impl OwnedRecord {
    pub(crate) fn of(record: &Record<'_>) -> Self {
        let headers = record.headers.iter();
        OwnedRecord {
            edge: record.edge,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }

    /// Memory it takes, bytes.
    pub(crate) fn size(&self) -> usize {
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + part(&self.key) + part(&self.value) + headers_size(&self.headers)
    }

    pub(crate) fn as_record(&self) -> Record<'_> {
        Record {
            edge: self.edge,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: crate::base::record::Headers(Some(&self.headers)),
        }
    }
}
