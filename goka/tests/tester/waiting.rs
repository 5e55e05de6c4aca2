//! Tests of `async` handlers that wait, of deferred records, and of virtual time.

use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use goka::{Context, Deferred, Tester};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::graph::{Clicks, UserClicks, count};

#[goka::table(group = "slow", value = i64)]
struct Slow;

#[goka::processor(group = "slow", input = UserClicks, table = Slow)]
async fn slow(ctx: &mut slow::Context<'_>, clicks: i64) -> goka::Result {
    tokio::time::sleep(Duration::from_secs(30)).await;
    ctx.set_value(&clicks)
}

#[test]
fn timers_of_handlers_go_by_virtual_time() {
    let began = Instant::now();
    let mut tester = Tester::new().processor(slow::Processor);
    let before = tester.now();
    tester.emit::<UserClicks>("alice", &7);
    assert_eq!(tester.get::<Slow>("alice"), Some(7));
    let virtually = tester.now().duration_since(before).expect("later");
    assert!(virtually >= Duration::from_secs(30), "{virtually:?}");
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "the test must wait in virtual time only"
    );
}

#[goka::table(value = i64)]
struct Sent;

#[derive(Clone, Default)]
struct Sender {
    guards: Arc<Mutex<Vec<Deferred>>>,
}

#[goka::processor(group = "sender", table = Sent)]
impl Sender {
    #[input(UserClicks)]
    fn send(&self, ctx: &mut Context<'_, Self>, clicks: i64) -> goka::Result {
        self.guards
            .lock()
            .expect("no thread panicked while it held the lock")
            .push(ctx.defer());
        ctx.set_value(&clicks)
    }
}

#[test]
fn a_deferred_record_takes_effect_when_it_is_done() {
    let sender = Sender::default();
    let mut tester = Tester::new().processor(sender.clone());
    tester.emit::<UserClicks>("alice", &7);
    assert_eq!(tester.get::<Sent>("alice"), None);
    assert_eq!(tester.lag::<Sender>(), 1);
    let guard = sender
        .guards
        .lock()
        .expect("no thread panicked while it held the lock")
        .pop();
    guard.expect("the handler deferred a record").done();
    assert_eq!(tester.get::<Sent>("alice"), Some(7));
    assert_eq!(tester.lag::<Sender>(), 0);
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

/// Collects the warnings that one thread logs, as text. Installed for the whole process, because tracing may miss the
/// subscriber of a single thread while other threads log.
#[derive(Clone)]
struct Warnings(Arc<Mutex<Vec<String>>>, ThreadId);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if thread::current().id() != self.1 {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.0
            .lock()
            .expect("no thread panicked while it held the lock")
            .push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_deferred_record_that_is_not_done_is_named_every_30_seconds() {
    let warnings = Warnings(Arc::default(), thread::current().id());
    tracing::subscriber::set_global_default(warnings.clone())
        .expect("no other test sets a global subscriber");
    let sender = Sender::default();
    let mut tester = Tester::new().processor(sender.clone());
    tester.set::<Sent>("alice", &1);
    tester.emit::<UserClicks>("alice", &7);
    let deferred = || {
        warnings
            .0
            .lock()
            .expect("no thread panicked while it held the lock")
            .clone()
    };
    tester.advance(Duration::from_secs(25));
    assert_eq!(deferred(), [""; 0]);
    tester.advance(Duration::from_secs(10));
    let named = deferred();
    assert_eq!(named.len(), 1, "{named:?}");
    for part in [
        "topic=\"user-clicks\"",
        "offset=0",
        "seconds=30",
        "held_back=1",
        "`done`",
    ] {
        assert!(
            named[0].contains(part),
            "the warning must contain {part}: {named:?}"
        );
    }
    tester.advance(Duration::from_secs(30));
    assert_eq!(deferred().len(), 2);
    sender
        .guards
        .lock()
        .expect("no thread panicked while it held the lock")
        .pop()
        .expect("the handler deferred a record")
        .done();
    assert_eq!(tester.get::<Sent>("alice"), Some(7));
    tester.advance(Duration::from_secs(60));
    assert_eq!(deferred().len(), 2);
}

#[test]
fn a_deferred_record_that_fails_is_an_error() {
    let sender = Sender::default();
    let mut tester = Tester::new().processor(sender.clone());
    tester.emit::<UserClicks>("alice", &7);
    tester
        .run()
        .expect("the tester waits for the deferred record");
    sender
        .guards
        .lock()
        .expect("no thread panicked while it held the lock")
        .clear();
    let error = tester.run().expect_err("dropped").to_string();
    assert!(error.contains("without `done`"), "{error}");
}

#[tokio::test]
async fn it_works_within_a_runtime() {
    let mut tester = Tester::new().processor(count::Processor);
    let view = tester.view::<Clicks>();
    tester.emit::<UserClicks>("alice", &1);
    tester.run().expect("counted");
    view.caught_up().await.expect("the view is caught up");
    assert_eq!(view.get("alice").expect("open"), Some(1));
}
