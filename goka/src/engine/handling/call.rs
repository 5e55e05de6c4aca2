//! Calls a handler or a visitor. Must not know what follows from its outcome.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use super::state::Handling;
use crate::{
    base::{error::BoxError, record::Record},
    engine::{
        effects::Effects,
        env::Env,
        partition::{
            Partition, Waiter,
            origin::{By, Origin},
        },
        program::{Failure, OwnedRecord, Reads, SharedReads, Stage, Visit},
    },
};

/// A record to handle, or a row to visit.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) origin: Origin,
    /// The record; its edge is an index into the graph.
    pub(crate) record: Record<'a>,
    /// The visitor to call. `None`: call the handler of the record's edge.
    pub(crate) visit: Option<&'a dyn Visit>,
}

impl<'a> Call<'a> {
    /// The call for a record as it was fetched, whose edge is the index of its source.
    pub(crate) fn of(env: &Env<'_>, record: &Record<'a>) -> Self {
        let origin = Origin {
            partition: record.partition,
            by: By::Source(record.edge),
            offset: record.offset,
            timestamp: record.timestamp,
            attempts: 0,
        };
        let edge = env.edges.of_source(record.edge);
        Call {
            origin,
            record: Record { edge, ..*record },
            visit: None,
        }
    }
}

impl Handling {
    /// Calls the handler, and leaves its effects in the buffer. `None`: the handler is async, and waits in the
    /// partition's queue.
    pub(crate) fn run(
        &mut self,
        env: &Env<'_>,
        partition: &mut Partition,
        call: &Call<'_>,
    ) -> Option<Result<(), Failure>> {
        let (program, edge) = (&env.spec.program, call.record.edge);
        let waits = match call.visit {
            Some(visit) => visit.waits(),
            None => env.edges.get(edge).waits,
        };
        if waits {
            let record = Rc::new(OwnedRecord::of(&call.record));
            let effects = Effects::default();
            let reads = SharedReads {
                rows: partition.rows().clone(),
                tables: env.spec.tables.clone(),
            };
            let future = match call.visit {
                Some(visit) => visit.visit_later(record.clone(), effects, reads),
                None => program.handle_later(edge, record.clone(), effects, reads),
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
        let run = AssertUnwindSafe(|| match call.visit {
            Some(visit) => visit.visit(call.record, effects, reads),
            None => program.handle(edge, call.record, effects, reads),
        });
        Some(catch_unwind(run).unwrap_or_else(|panic| Err(panicked(&*panic))))
    }
}

/// The failure of a handler that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let source = BoxError::from(format!(
        "it panicked: {}",
        text.as_deref().unwrap_or("(no text)")
    ));
    Failure {
        stage: Stage::Panic,
        doing: "run",
        source,
    }
}
