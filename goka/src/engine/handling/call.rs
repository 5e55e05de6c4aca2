//! Calls a handler or a visitor. Must not know what follows from the outcome of the call.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use super::state::Handling;
use crate::{
    base::{
        error::BoxError,
        index::{EdgeIx, SourceIx},
        record::{OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        env::Env,
        partition::{
            Partition, Waiter,
            origin::{By, Origin},
        },
        program::{Failure, Reads, SharedReads, Stage, Visit},
    },
};

/// A record to handle, or a row to visit.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) origin: Origin,
    pub(crate) record: Record<'a>,
    pub(crate) callee: Callee<'a>,
}

/// The handler or visitor to call.
#[derive(Clone, Copy)]
pub(crate) enum Callee<'a> {
    /// The handler of an edge.
    Handler(EdgeIx),
    Visitor(&'a dyn Visit),
}

impl<'a> Call<'a> {
    /// The call of a source's handler, for a record that was fetched from this source.
    pub(crate) fn of(env: &Env<'_>, source: SourceIx, record: &Record<'a>) -> Self {
        let origin = Origin {
            partition: record.partition,
            by: By::Source(source),
            offset: record.offset,
            timestamp: record.timestamp,
            attempts: 0,
        };
        Call {
            origin,
            record: *record,
            callee: Callee::Handler(env.edges.of_source(source)),
        }
    }
}

impl Handling {
    /// Calls the handler or visitor, and leaves its effects in the buffer. `None`: the handler or visitor is async,
    /// and waits in the partition's queue.
    pub(crate) fn run(
        &mut self,
        env: &Env<'_>,
        partition: &mut Partition,
        call: &Call<'_>,
    ) -> Option<Result<(), Failure>> {
        let program = &env.spec.program;
        let waits = match call.callee {
            Callee::Handler(edge) => env.edges.get(edge).waits,
            Callee::Visitor(visit) => visit.waits(),
        };
        if waits {
            let record = Rc::new(OwnedRecord::of(&call.record));
            let effects = Effects::default();
            let reads = SharedReads {
                rows: partition.rows().clone(),
                tables: env.spec.tables.clone(),
            };
            let future = match call.callee {
                Callee::Handler(edge) => program.handle_later(edge, record.clone(), effects, reads),
                Callee::Visitor(visit) => visit.visit_later(record.clone(), effects, reads),
            };
            let origin = call.origin;
            partition.queue_mut().wait(Waiter {
                future,
                origin,
                record,
            });
            return None;
        }
        let reads = Reads {
            rows: partition.rows(),
            tables: &env.spec.tables,
        };
        let effects = &mut self.effects;
        effects.clear();
        let run = AssertUnwindSafe(|| match call.callee {
            Callee::Handler(edge) => program.handle(edge, call.record, effects, reads),
            Callee::Visitor(visit) => visit.visit(call.record, effects, reads),
        });
        Some(catch_unwind(run).unwrap_or_else(|panic| Err(panicked(&*panic))))
    }
}

/// The failure of a handler that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let source = BoxError::from(format!(
        "the handler panicked: {}",
        text.as_deref().unwrap_or("(no text)")
    ));
    Failure {
        stage: Stage::Panic,
        doing: "run",
        source,
    }
}
