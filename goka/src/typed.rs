//! A processor's types, seen from the engine: the door at which bytes become a key and a context.
//! Must not know when it is called, nor what becomes of the effects.

use std::{rc::Rc, sync::Arc};

use crate::{
    BoxError, Context, Edge, Handler, Processor,
    check::{self, Undecodable},
    context::AtHand,
    engine::{
        effects::Effects,
        program::{EdgeInfo, Failure, OwnedRecord, Program, Waiting},
        rows::Rows,
    },
    key,
    record::Record,
};

/// Lets the engine run a processor whose types it does not know.
pub(crate) struct Typed<P: Processor>(pub(crate) Arc<P>);

impl<P: Processor> Program for Typed<P> {
    fn group(&self) -> &'static str {
        P::GROUP
    }

    fn edges(&self) -> Vec<EdgeInfo> {
        // A graph by hand has seen no macro.
        const { check::graph::<P>() };
        let edges = P::GRAPH.iter();
        edges
            .map(|edge| EdgeInfo {
                kind: edge.kind,
                topic: edge.topic.name,
                partitioner: edge.topic.partitioner,
                codec: (edge.topic.codec)(),
                waits: edge.handler.is_some_and(|handler| handler.waits()),
            })
            .collect()
    }

    fn handle(
        &self,
        edge: usize,
        record: Record<'_>,
        effects: &mut Effects,
        rows: &Rows,
    ) -> Result<(), Failure> {
        let Some((edge, Handler::Now(handler))) = handled::<P>(edge) else {
            return Err(bug("the engine called an edge that has no `fn` handler"));
        };
        let mut slot = None;
        let key = key::of_record::<P::Key>(record.key, &mut slot).map_err(undecodable_key)?;
        if record.value.is_none() && !edge.tombstones {
            return Ok(());
        }
        let at_hand = AtHand { record, rows };
        let mut ctx = Context::new(&at_hand, key, effects);
        handler(&self.0, &mut ctx).map_err(failure)
    }

    fn handle_later(
        &self,
        edge: usize,
        record: OwnedRecord,
        mut effects: Effects,
        rows: Rc<Rows>,
    ) -> Waiting {
        let processor = Arc::clone(&self.0);
        Box::pin(async move {
            let outcome = later(&*processor, edge, &record, &mut effects, &rows).await;
            (effects, outcome)
        })
    }
}

async fn later<P: Processor>(
    processor: &P,
    edge: usize,
    record: &OwnedRecord,
    effects: &mut Effects,
    rows: &Rows,
) -> Result<(), Failure> {
    let Some((edge, Handler::Later(handler))) = handled::<P>(edge) else {
        return Err(bug(
            "the engine waits for an edge that has no `async fn` handler",
        ));
    };
    let record = record.as_record();
    let mut slot = None;
    let key = key::of_record::<P::Key>(record.key, &mut slot).map_err(undecodable_key)?;
    if record.value.is_none() && !edge.tombstones {
        return Ok(());
    }
    let at_hand = AtHand { record, rows };
    let mut ctx = Context::new(&at_hand, key, effects);
    handler(processor, &mut ctx).await.map_err(failure)
}

fn handled<P: Processor>(edge: usize) -> Option<(&'static Edge<P>, Handler<P>)> {
    let edge = P::GRAPH.get(edge)?;
    Some((edge, edge.handler?))
}

fn undecodable_key(source: BoxError) -> Failure {
    Failure {
        doing: "decode its key",
        source,
    }
}

/// A handler decodes its message itself, so that a record it does not look at is not decoded.
fn failure(source: BoxError) -> Failure {
    match source.downcast::<Undecodable>() {
        Ok(undecodable) => Failure {
            doing: "decode its value",
            source: undecodable.0,
        },
        Err(source) => Failure {
            doing: "run its handler",
            source,
        },
    }
}

fn bug(sentence: &str) -> Failure {
    Failure {
        doing: "find its handler",
        source: format!("{sentence}; this is a mistake in goka: please report it").into(),
    }
}

#[cfg(test)]
mod tests;
