//! Implements the engine's view of a processor: turns the bytes of a record into a key, a context and the call of a
//! handler. Must not know when the engine calls it, nor what the engine does with the effects.

use std::{
    any::{Any, type_name},
    rc::Rc,
    sync::Arc,
};

use crate::{
    base::{
        config::Config,
        error::{BoxError, Error},
        index::EdgeIx,
        kind::Kind,
        options::{ProcessorOptions, TableOptions},
        partitioner::Partitioner,
        policy,
        policy::OnError,
        record::{OwnedRecord, Record},
    },
    engine::{
        effects::Effects,
        program::{EdgeInfo, Failure, Program, Reads, SharedReads, Stage, Visit, Waiting},
    },
    typed::{
        check::{self, Derived, Undecodable},
        codec::{Codec, Prepare, Raw, Role},
        context::{AtHand, Context},
        edge::Visits,
        graph::{Edge, Handler, Visitor},
        key,
        processor::Processor,
        undecoded::Undecoded,
    },
};

/// A processor as the engine sees it: without the processor's types.
pub(crate) struct Typed<P: Processor>(pub(crate) Arc<P>);

impl<P: Processor> Program for Typed<P> {
    fn group(&self) -> &'static str {
        P::GROUP
    }

    fn edges(&self) -> Vec<EdgeInfo> {
        // No macro has checked a graph that is written by hand.
        const { check::graph::<P>() };
        let edges = P::GRAPH.iter();
        let edges = edges.map(|edge| EdgeInfo {
            kind: edge.kind,
            topic: edge.topic.name,
            partitioner: edge.topic.partitioner,
            codec: (edge.topic.codec)(),
            options: edge.topic.options,
            waits: edge.handler.is_some_and(|handler| handler.waits()),
            handler: named::<P>(edge.handler_name),
            on_error: edge.on_error.named(<P as Derived>::DEAD_LETTER),
        });
        let dead_letters = dead_letters::<P>().into_iter().map(|topic| EdgeInfo {
            kind: Kind::DeadLetter,
            topic,
            partitioner: Partitioner::default(),
            codec: <Raw as Codec<Vec<u8>>>::name(),
            options: TableOptions::DEFAULT,
            waits: false,
            handler: "",
            on_error: OnError::FAIL,
        });
        edges.chain(dead_letters).collect()
    }

    fn options(&self) -> ProcessorOptions {
        P::OPTIONS
    }

    fn prepare(&self, topics: &[String], config: &Config) -> Result<(), Error> {
        let mut edges = P::GRAPH.iter().zip(topics);
        edges.try_for_each(|(edge, topic)| {
            let prepare = Prepare::new(topic, Role::Processing(edge.kind), config);
            prepare.by(edge.topic.prepare)
        })
    }

    fn handle(
        &self,
        edge: EdgeIx,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure> {
        let Some((edge, Handler::Now(handler))) = handled::<P>(edge) else {
            return Err(bug("the engine called an edge that has no `fn` handler"));
        };
        let mut slot = None;
        let key = key::of_record::<P::Key>(record.key, &mut slot).map_err(undecodable_key)?;
        if record.value.is_none() && !edge.tombstones {
            return Ok(());
        }
        let at_hand = AtHand::new(Some(edge.topic.name), record, reads);
        let mut ctx = Context::new(&at_hand, key, effects);
        handler(&self.0, &mut ctx).map_err(|source| failure(edge, &at_hand, source))
    }

    fn handle_later(
        &self,
        edge: EdgeIx,
        record: Rc<OwnedRecord>,
        mut effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        let processor = Arc::clone(&self.0);
        Box::pin(async move {
            let outcome = later(&*processor, edge, &record, &mut effects, reads.as_reads()).await;
            (effects, outcome)
        })
    }

    fn processor(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.clone()
    }
}

/// The dead-letter topics of a processor.
pub(crate) fn dead_letters<P: Processor>() -> Vec<&'static str> {
    let named = |edge: &Edge<P>| edge.on_error.named(<P as Derived>::DEAD_LETTER);
    policy::dead_letters(P::GRAPH.iter().map(named))
}

/// Returns `name`, the name of a handler or visitor. If `name` is empty, returns the name of the processor; for a
/// processor that is a function, this is the name of the function.
pub(crate) fn named<P: Processor>(name: &'static str) -> &'static str {
    if !name.is_empty() {
        return name;
    }
    let path = type_name::<P>();
    let path = path.strip_suffix("::Processor").unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}

async fn later<P: Processor>(
    processor: &P,
    edge: EdgeIx,
    record: &OwnedRecord,
    effects: &mut Effects,
    reads: Reads<'_>,
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
    let at_hand = AtHand::new(Some(edge.topic.name), record, reads);
    let mut ctx = Context::new(&at_hand, key, effects);
    let handled = handler(processor, &mut ctx).await;
    handled.map_err(|source| failure(edge, &at_hand, source))
}

/// A visitor with its arguments as the engine sees it: without the types of the processor and the arguments.
pub(crate) struct TypedVisit<P: Processor, A> {
    pub(crate) processor: Arc<P>,
    pub(crate) args: A,
}

impl<P: Processor, A: Visits<P>> Visit for TypedVisit<P, A> {
    fn name(&self) -> &'static str {
        named::<P>(A::NAME)
    }

    fn waits(&self) -> bool {
        matches!(A::VISITOR, Visitor::Later(_))
    }

    fn on_error(&self) -> OnError {
        const { check::no_dead_letter(A::ON_ERROR) };
        A::ON_ERROR
    }

    fn visit(
        &self,
        record: Record<'_>,
        effects: &mut Effects,
        reads: Reads<'_>,
    ) -> Result<(), Failure> {
        let Visitor::Now(visitor) = A::VISITOR else {
            return Err(bug("the engine called a visitor that is not an `fn`"));
        };
        let mut slot = None;
        let key = key::of_record::<P::Key>(record.key, &mut slot).map_err(undecodable_key)?;
        let at_hand = AtHand::new(None, record, reads);
        let mut ctx = Context::new(&at_hand, key, effects);
        let visited = visitor(&self.processor, &mut ctx, self.args.clone());
        visited.map_err(|source| run_failure(&at_hand, source))
    }

    fn visit_later(
        &self,
        record: Rc<OwnedRecord>,
        mut effects: Effects,
        reads: SharedReads,
    ) -> Waiting {
        let (processor, args) = (Arc::clone(&self.processor), self.args.clone());
        Box::pin(async move {
            let reads = reads.as_reads();
            let outcome = visit_later(&*processor, args, &record, &mut effects, reads).await;
            (effects, outcome)
        })
    }
}

async fn visit_later<P: Processor, A: Visits<P>>(
    processor: &P,
    args: A,
    record: &OwnedRecord,
    effects: &mut Effects,
    reads: Reads<'_>,
) -> Result<(), Failure> {
    let Visitor::Later(visitor) = A::VISITOR else {
        return Err(bug(
            "the engine waits for a visitor that is not an `async fn`",
        ));
    };
    let record = record.as_record();
    let mut slot = None;
    let key = key::of_record::<P::Key>(record.key, &mut slot).map_err(undecodable_key)?;
    let at_hand = AtHand::new(None, record, reads);
    let mut ctx = Context::new(&at_hand, key, effects);
    let visited = visitor(processor, &mut ctx, args).await;
    visited.map_err(|source| run_failure(&at_hand, source))
}

fn handled<P: Processor>(edge: EdgeIx) -> Option<(&'static Edge<P>, Handler<P>)> {
    let edge = P::GRAPH.get(edge.index())?;
    Some((edge, edge.handler?))
}

fn undecodable_key(source: BoxError) -> Failure {
    Failure {
        stage: Stage::Decode,
        doing: "decode the key",
        source,
    }
}

/// Says why a handler failed. The handler decodes its message itself, so that a message that the handler does not take
/// is not decoded; an error may therefore come from decoding.
#[cold]
fn failure<P: Processor>(edge: &Edge<P>, at_hand: &AtHand<'_>, source: BoxError) -> Failure {
    match source.downcast::<Undecodable>() {
        Ok(undecodable) => Failure {
            stage: Stage::Decode,
            doing: "decode the value",
            source: match at_hand.value() {
                Some(bytes) => Undecoded::new((edge.topic.codec)(), bytes, undecodable.0).into(),
                None => undecodable.0,
            },
        },
        Err(source) => run_failure(at_hand, source),
    }
}

/// Says why a handler failed whose error does not come from decoding. `at_hand` says whether goka itself is broken.
/// The error does not say it: a handler may return the same error from an `Emitter` or `View` that it uses.
fn run_failure(at_hand: &AtHand<'_>, source: BoxError) -> Failure {
    Failure {
        stage: match at_hand.is_broken() {
            true => Stage::Broken,
            false => Stage::Handler,
        },
        doing: "run",
        source,
    }
}

fn bug(sentence: &str) -> Failure {
    Failure {
        stage: Stage::Broken,
        doing: "be found",
        source: format!("{sentence}; this is a bug in goka, please report it").into(),
    }
}

#[cfg(test)]
mod tests;
