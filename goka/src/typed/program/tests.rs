//! Tests the steps from a record's bytes to the effects of its handler, without the engine and Kafka.

use std::{
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use super::*;
use crate::{
    base::{
        error::Error,
        kind::Kind,
        partitioner::Partitioner,
        record::{Meta, OwnedHeaders},
    },
    engine::{effects::Row, replica::tables::Tables, table::rows::Rows},
    typed::{
        edge::{Consumes, Loops, Persists},
        graph::Edge,
    },
};

mod visits;

#[goka::stream("user-clicks", value = u64)]
struct Clicks;
#[goka::stream("user-warnings", value = String, partitioner = fnv1a)]
struct Warnings;
#[goka::stream("nothing", key = (), value = String)]
struct Keyless;
#[goka::table(group = "click-count", value = i64)]
struct ClickCount;

/// Counts clicks, deletes the row at a tombstone, warns if the click is 3, and fails if it is 13.
#[goka::processor(group = "click-count", input = Clicks, table = ClickCount, output(Warnings, Keyless))]
fn count(
    ctx: &mut count::Context<'_>,
    click: Option<u64>,
) -> crate::base::error::Result<(), BoxError> {
    let Some(click) = click else {
        ctx.delete()?;
        assert_eq!(ctx.value()?, None);
        return Ok(());
    };
    let clicks = ctx.value()?.unwrap_or(0) + i64::try_from(click)?;
    ctx.set_value(&clicks)?;
    if click == 13 {
        return Err("thirteen".into());
    }
    if click == 3 {
        let meta = Meta::new().headers(ctx.headers()).to_partition(7);
        ctx.emit_with::<Warnings>(ctx.key(), &format!("{clicks}"), meta)?;
        ctx.emit::<Keyless>(&(), &"three".to_owned())?;
    }
    // A handler sees what it has written.
    assert_eq!(ctx.value()?, Some(clicks));
    Ok(())
}

#[goka::processor(group = "later", input = Clicks, table = Later)]
async fn later(ctx: &mut later::Context<'_>, click: u64) -> crate::base::error::Result {
    let before = ctx.value()?.unwrap_or(0);
    std::future::ready(()).await;
    ctx.set_value(&(before + click))
}
#[goka::table(value = u64)]
struct Later;

#[goka::processor(group = "silent", input = Clicks, output = Warnings)]
fn silent(ctx: &mut silent::Context<'_>) -> crate::base::error::Result {
    let seen = format!(
        "{} {} {} {} {:?}",
        ctx.group(),
        ctx.topic(),
        ctx.partition(),
        ctx.offset(),
        ctx.headers().get("from"),
    );
    assert_eq!(ctx.timestamp(), UNIX_EPOCH + Duration::from_millis(1_500));
    ctx.emit::<Warnings>(ctx.key(), &seen)
}

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    Record {
        partition: 2,
        offset: 40,
        timestamp: 1_500,
        key,
        value,
        headers: crate::base::record::Headers::default(),
    }
}

type Handled = (Effects, Result<(), Failure>);

fn handle<P: Processor>(processor: P, record: Record<'_>, rows: &Rows) -> Handled {
    handle_at(0, processor, record, rows)
}

fn handle_at<P: Processor>(edge: usize, processor: P, record: Record<'_>, rows: &Rows) -> Handled {
    let mut effects = Effects::default();
    let tables = &Tables::default();
    let reads = Reads { rows, tables };
    let result = Typed(Arc::new(processor)).handle(EdgeIx::new(edge), record, &mut effects, reads);
    (effects, result)
}

fn reads(rows: &Rc<Rows>) -> SharedReads {
    SharedReads {
        rows: Rc::clone(rows),
        tables: Arc::default(),
    }
}

fn row(effects: &Effects) -> Option<&[u8]> {
    match effects.row() {
        Row::Put(range) => Some(effects.bytes(range)),
        Row::Untouched | Row::Delete => None,
    }
}

#[test]
fn a_handler_writes_its_row() {
    let rows = Rows::default();
    let click = record(Some(b"alice"), Some(b"2"));
    let (effects, result) = handle(count::Processor, click, &rows);
    result.expect("the handler accepts the click");
    assert_eq!(row(&effects), Some(b"2".as_slice()));
    rows.write(b"alice", row(&effects));
    let (effects, _) = handle(count::Processor, click, &rows);
    assert_eq!(row(&effects), Some(b"4".as_slice()));
    let other = record(Some(b"bob"), Some(b"2"));
    let (effects, _) = handle(count::Processor, other, &rows);
    assert_eq!(
        row(&effects),
        Some(b"2".as_slice()),
        "the row must be that of the record's key"
    );
}

#[test]
fn a_tombstone_reaches_who_asks_for_it() {
    let tombstone = record(Some(b"alice"), None);
    let (effects, result) = handle(count::Processor, tombstone, &Rows::default());
    result.expect("a handler with an `Option` must accept a tombstone");
    assert_eq!(*effects.row(), Row::Delete);
    let (effects, result) = handle(silent::Processor, tombstone, &Rows::default());
    result.expect("the record is skipped");
    assert!(effects.emits().is_empty());
}

#[test]
fn emits_are_bytes_of_their_edge() {
    let headers: OwnedHeaders = vec![("from".to_owned(), Some(b"web".to_vec()))];
    let mut click = record(Some(b"alice"), Some(b"3"));
    click.headers = crate::base::record::Headers(Some(&headers));
    let (effects, result) = handle(count::Processor, click, &Rows::default());
    result.expect("the handler accepts the click");
    let [warning, keyless] = effects.emits() else {
        panic!("the handler must emit two messages");
    };
    let bytes = |range: &Option<std::ops::Range<usize>>| range.as_ref().map(|r| effects.bytes(r));
    assert_eq!(warning.edge.index(), 2);
    assert_eq!(bytes(&warning.key), Some(b"alice".as_slice()));
    assert_eq!(bytes(&warning.value), Some(b"3".as_slice()));
    assert_eq!((warning.partition, warning.timestamp), (Some(7), None));
    assert_eq!(warning.headers, headers);
    assert_eq!(keyless.edge.index(), 3);
    assert_eq!(
        keyless.key, None,
        "a record with the key `()` must have the null key"
    );
    assert_eq!(bytes(&keyless.value), Some(b"three".as_slice()));
}

#[test]
fn a_context_tells_of_its_record() {
    let headers: OwnedHeaders = vec![("from".to_owned(), Some(b"web".to_vec()))];
    let mut click = record(Some(b"alice"), Some(b"not even a number"));
    click.headers = crate::base::record::Headers(Some(&headers));
    let (effects, result) = handle(silent::Processor, click, &Rows::default());
    result.expect("a handler without a message must not decode the value");
    let seen = effects.emits()[0]
        .value
        .as_ref()
        .expect("the effect must have a value");
    let expected = format!("silent user-clicks 2 40 {:?}", Some(b"web"));
    assert_eq!(effects.bytes(seen), expected.as_bytes());
}

#[test]
fn failures_say_what_was_being_done() {
    let rows = Rows::default();
    rows.write(b"broken", Some(b"x"));
    let fails = |key: Option<&[u8]>, value: &[u8], doing: &str, text: &str| {
        let (_, result) = handle(count::Processor, record(key, Some(value)), &rows);
        let failure = result.expect_err(doing);
        assert_eq!(failure.doing, doing);
        assert!(failure.source.to_string().contains(text), "{failure:?}");
    };
    fails(Some(b"alice"), b"x", "decode the value", "invalid digit");
    fails(Some(b"alice"), b"x", "decode the value", "codec `text`");
    fails(Some(b"\xff"), b"1", "decode the key", "utf-8");
    fails(None, b"1", "decode the key", "the key is null");
    fails(Some(b"alice"), b"13", "run", "thirteen");
    fails(Some(b"broken"), b"1", "run", "click-count-state");
}

#[test]
fn a_waiting_handler_gives_its_effects_back() {
    let rows = Rc::new(Rows::default());
    rows.write(b"alice", Some(b"40"));
    let waits = |click: Record<'_>| {
        let (record, effects) = (Rc::new(OwnedRecord::of(&click)), Effects::default());
        let program = Typed(Arc::new(later::Processor));
        let handled = pin!(program.handle_later(EdgeIx::new(0), record, effects, reads(&rows)));
        let mut noop = std::task::Context::from_waker(Waker::noop());
        match handled.poll(&mut noop) {
            Poll::Ready(handled) => handled,
            Poll::Pending => panic!("the handler must not wait"),
        }
    };
    let (effects, result) = waits(record(Some(b"alice"), Some(b"2")));
    result.expect("the handler accepts the click");
    assert_eq!(row(&effects), Some(b"42".as_slice()));
    let (effects, result) = waits(record(Some(b"alice"), None));
    result.expect("a tombstone must be skipped");
    assert_eq!(*effects.row(), Row::Untouched);
    let (_, result) = waits(record(None, Some(b"2")));
    assert_eq!(
        result.expect_err("the handler refuses the null key").doing,
        "decode the key"
    );
}

#[test]
fn a_mistake_of_the_engine_is_a_failure() {
    let click = record(Some(b"alice"), Some(b"2"));
    for edge in [1, 2, 4] {
        let (_, result) = handle_at(edge, count::Processor, click, &Rows::default());
        assert_eq!(result.expect_err("no handler").doing, "be found");
    }
    let (_, result) = handle(later::Processor, click, &Rows::default());
    assert_eq!(
        result.expect_err("only an `async fn` handler waits").doing,
        "be found"
    );
}

/// Joins a table, or fails with an error of goka, as a handler may that uses its own emitter or view.
#[goka::processor(group = "joins", input = Clicks, join(ClickCount))]
fn joins(ctx: &mut joins::Context<'_>, click: u64) -> crate::base::error::Result<(), BoxError> {
    let path = "/state".into();
    let problem = "the disk is full".to_owned();
    Err(match click {
        0 => return Ok(ctx.join::<ClickCount>().map(drop)?),
        1 => Error::kafka("emit", "all brokers are down"),
        2 => Error::Topic("no such topic".to_owned()),
        3 => Error::NoRoom { path, problem },
        4 => Error::State { path, problem },
        5 => Error::Closed("the emitter"),
        6 => Error::Fenced("another member has the partition".to_owned()),
        _ => return Err(format!("it cannot join: {:?}", ctx.join::<ClickCount>()).into()),
    })?
}

#[test]
fn no_policy_applies_when_goka_cannot_read_its_own_local_copies() {
    let stage = |click: &str| {
        let click = record(Some(b"alice"), Some(click.as_bytes()));
        // The processor has no local copy of the table that it joins.
        let (_, result) = handle(joins::Processor, click, &Rows::default());
        result.expect_err("the call fails").stage
    };
    assert_eq!(stage("0"), Stage::Broken);
    for handlers_own in ["1", "2", "3", "4", "5", "6"] {
        assert_eq!(stage(handlers_own), Stage::Handler, "{handlers_own}");
    }
    assert_eq!(
        stage("7"),
        Stage::Broken,
        "the stage must not depend on the error that the handler returns"
    );
}

#[test]
fn a_handler_has_a_name() {
    let name = |program: &dyn Program| program.edges()[0].handler;
    assert_eq!(name(&Typed(Arc::new(count::Processor))), "count");
    assert_eq!(name(&Typed(Arc::new(Countdown))), "Countdown");
}

#[test]
fn edges_are_plain_data() {
    let program = Typed(Arc::new(count::Processor));
    assert_eq!(program.group(), "click-count");
    let edges = program.edges();
    let edges = edges.iter();
    let edges = edges.map(|e| (e.kind, e.topic, e.partitioner, e.codec, e.waits));
    assert_eq!(
        edges.collect::<Vec<_>>(),
        [
            (
                Kind::Input,
                "user-clicks",
                Partitioner::Murmur2,
                "text",
                false
            ),
            (
                Kind::Table,
                "click-count-state",
                Partitioner::Murmur2,
                "text",
                false
            ),
            (
                Kind::Output,
                "user-warnings",
                Partitioner::Fnv1a,
                "text",
                false
            ),
            (Kind::Output, "nothing", Partitioner::Murmur2, "text", false),
        ]
    );
    let later = Typed(Arc::new(later::Processor)).edges();
    assert!(later[0].waits);
    assert_eq!(
        later[1].topic, "later-state",
        "a table without a group has the topic of its processor"
    );
}

/// A processor without macros, with a loopback: it handles the number `3` by sending `2`, and `2` by sending `1`.
struct Countdown;

struct Rounds;
impl crate::typed::topic::Topic for Rounds {
    type Key = String;
    type Value = u64;
    type Codec = crate::typed::codec::ByType;
}
impl crate::typed::topic::Stream for Rounds {
    const NAME: &'static str = "countdown-loop";
}

impl Countdown {
    fn round<S>(&self, ctx: &mut Context<'_, Self>) -> crate::base::error::Result<(), BoxError>
    where
        u64: check::MessageOf<S>,
    {
        match check::message::<S, u64>(ctx)? {
            0 => Ok(()),
            more => Ok(ctx.loopback("next", &(more - 1))?),
        }
    }
}
impl Processor for Countdown {
    const GROUP: &'static str = "countdown";
    type Key = String;
    const GRAPH: &'static [Edge<Self>] = &[
        Edge::input::<Clicks>(),
        Edge::loopback::<Rounds>(),
        Edge::table::<Later>(),
    ];
}
impl Persists<Later> for Countdown {}
impl Loops<Rounds> for Countdown {}
impl Consumes<Clicks> for Countdown {
    const HANDLER: Handler<Self> = Handler::Now(|this, ctx| this.round::<Clicks>(ctx));
}
impl Consumes<Rounds> for Countdown {
    const HANDLER: Handler<Self> = Handler::Now(|this, ctx| this.round::<Rounds>(ctx));
}

#[test]
fn a_loopback_is_an_edge() {
    let click = record(Some(b"alice"), Some(b"3"));
    for (edge, expected) in [(0, b"2"), (1, b"2")] {
        let (effects, result) = handle_at(edge, Countdown, click, &Rows::default());
        result.expect("the handler accepts the record");
        let [emit] = effects.emits() else {
            panic!("the handler must send one loop message");
        };
        assert_eq!(emit.edge.index(), 1);
        let value = emit.value.as_ref().expect("the effect must have a value");
        assert_eq!(effects.bytes(value), expected);
    }
    assert_eq!(Typed(Arc::new(Countdown)).edges().len(), 3);
}
