//! Tests that a codec is prepared once for each edge of a processor, for an emitter and for a view, before any of them
//! runs. A program that the codec refuses to prepare for does not start.

use std::sync::{Mutex, PoisonError};

use goka::{
    App, BoxError, Codec, Config, Emitter, Error, View,
    codec::{ByType, Prepare, Role, Shown},
    graph::Kind,
};

/// A text codec that lists the topics and roles for which it was prepared.
struct Listed;

static PREPARED: Mutex<Vec<(String, Role)>> = Mutex::new(Vec::new());

fn prepared() -> Vec<(String, Role)> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut prepared = std::mem::take(&mut *prepared);
    prepared.sort_by_key(|(topic, _)| topic.clone());
    prepared
}

impl Codec<String> for Listed {
    fn encode(value: &String, out: &mut Vec<u8>) -> Result<(), BoxError> {
        ByType::encode(value, out)
    }
    fn decode(bytes: &[u8]) -> Result<String, BoxError> {
        ByType::decode(bytes)
    }
    fn show(bytes: &[u8]) -> Shown {
        Shown::text_of(format!("{} bytes", bytes.len()))
    }
    fn prepare(prepare: &Prepare<'_>) -> Result<(), BoxError> {
        assert!(format!("{:?}", prepare.config).contains("embedded"));
        let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.push((prepare.topic.to_owned(), prepare.role));
        Ok(())
    }
}

/// A text codec that refuses every program, whether it reads or writes.
struct Refused;

impl Codec<String> for Refused {
    fn encode(value: &String, out: &mut Vec<u8>) -> Result<(), BoxError> {
        ByType::encode(value, out)
    }
    fn decode(bytes: &[u8]) -> Result<String, BoxError> {
        ByType::decode(bytes)
    }
    fn prepare(_: &Prepare<'_>) -> Result<(), BoxError> {
        Err("no schema is registered".into())
    }
}

#[goka::stream("lines", value = String, codec = Listed)]
struct Lines;
#[goka::stream("copies", value = String, codec = Listed)]
struct Copies;
#[goka::table(group = "last-line", value = String, codec = Listed)]
struct LastLine;
#[goka::table(group = "another", value = String, codec = Listed)]
struct Another;

#[goka::processor(group = "another", input = Lines, table = Another)]
fn another(ctx: &mut another::Context, line: String) -> goka::Result {
    ctx.set_value(&line)
}

#[goka::processor(group = "last-line", input = Lines, table = LastLine, output(Copies), lookup(Another), on_error = dead_letter)]
fn last_line(ctx: &mut last_line::Context, line: String) -> goka::Result {
    ctx.emit::<Copies>(ctx.key(), &line)?;
    ctx.set_value(&line)
}

#[goka::stream("refused-lines", value = String, codec = Refused)]
struct RefusedLines;
#[goka::table(group = "refused", value = String)]
struct RefusedTable;

#[goka::processor(group = "refused", input = RefusedLines, table = RefusedTable)]
fn refused(ctx: &mut refused::Context, line: String) -> goka::Result {
    ctx.set_value(&line)
}

fn config() -> Config {
    Config::new()
        .brokers("embedded")
        .prefix("test-")
        .workers(2)
        .create_stream("lines", 2)
        .create_stream("copies", 2)
        .create_stream("refused-lines", 2)
}

fn edge(topic: &str, kind: Kind) -> (String, Role) {
    (topic.to_owned(), Role::Processing(kind))
}

#[tokio::test]
async fn a_codec_is_prepared_once_for_each_edge() -> goka::Result {
    let running = App::new(config()).processor(another::Processor);
    let running = running.start().await?;
    assert_eq!(
        prepared(),
        [
            edge("test-another-state", Kind::Table),
            edge("test-lines", Kind::Input),
        ]
    );
    let other = App::new(config()).processor(last_line::Processor);
    let other = other.start().await?;
    assert_eq!(
        prepared(),
        [
            edge("test-another-state", Kind::Lookup),
            edge("test-copies", Kind::Output),
            edge("test-last-line-state", Kind::Table),
            edge("test-lines", Kind::Input),
        ]
    );
    let lines = Emitter::<Lines>::new(&config())?;
    assert_eq!(prepared(), [("test-lines".to_owned(), Role::Emitting)]);
    let view = View::<LastLine>::open(&config()).await?;
    assert_eq!(
        prepared(),
        [("test-last-line-state".to_owned(), Role::Viewing)]
    );
    lines.emit("alice", &"hello".to_owned())?.await?;
    view.close().await?;
    other.shutdown().await?;
    running.shutdown().await?;
    assert_eq!(prepared(), [], "once");
    Ok(())
}

#[tokio::test]
async fn what_a_codec_refuses_does_not_start() {
    let sentence =
        "cannot prepare the codec of topic `test-refused-lines`: no schema is registered";
    let app = App::new(config()).processor(refused::Processor);
    let error = app.start().await.expect_err("the codec refuses");
    assert_eq!(error.to_string(), sentence);
    assert!(matches!(error, Error::Prepare { .. }));
    let error = Emitter::<RefusedLines>::new(&config()).expect_err("the codec refuses");
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn the_graph_shows_values_by_their_codecs() {
    use goka::Processor;
    let edges = last_line::Processor::GRAPH;
    let shown = edges.iter().map(|edge| (edge.topic.show)(b"12345"));
    let shown: Vec<_> = shown.map(|shown| shown.to_string()).collect();
    assert_eq!(shown, ["5 bytes"; 4]);
}
