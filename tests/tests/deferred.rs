//! Deferred records: the engine holds back a deferred record and all later records of its partition. After a kill or a
//! restart, no record is lost, and no record after the first deferred record counts twice.

mod place;

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use goka::{App, Context, Deferred, Error, Guarantee, Running};
use goka_tests::{
    DEADLINE, Message, Program, Record, broker, last_values, needs_kafka, produce, this_test,
    wait_for_records, wait_for_values,
};
use place::Place;
use tokio::time::timeout;

#[goka::stream("invoices", value = i64)]
struct Invoices;

#[goka::table(group = "ledger", value = i64)]
struct Sums;

#[goka::stream("booked", value = i64)]
struct Booked;

/// The guards of the deferred records, which the test completes from outside the handler.
type Elsewhere = Arc<Mutex<Vec<Deferred>>>;

struct Ledger {
    elsewhere: Elsewhere,
    handled: Arc<AtomicUsize>,
}

impl Ledger {
    fn new(elsewhere: &Elsewhere) -> Ledger {
        Ledger {
            elsewhere: elsewhere.clone(),
            handled: Arc::default(),
        }
    }
}

#[goka::processor(group = "ledger", table = Sums, output(Booked))]
impl Ledger {
    #[input(Invoices)]
    fn invoiced(&self, ctx: &mut Context<'_, Self>, amount: i64) -> goka::Result {
        self.handled.fetch_add(1, Ordering::Relaxed);
        let sum = ctx.value()?.unwrap_or(0) + amount;
        ctx.set_value(&sum)?;
        ctx.emit::<Booked>(ctx.key(), &sum)?;
        if ctx.key() == "slow" {
            let guard = ctx.defer();
            self.elsewhere.lock().expect("no panic").push(guard);
        }
        Ok(())
    }
}

/// Invoices, all in one partition.
fn invoices(keys: &[&str]) -> Vec<Message> {
    let invoice = |(key, amount): (&&str, i64)| Message {
        partition: Some(0),
        ..Message::new(*key, amount.to_string())
    };
    keys.iter().zip(1..).map(invoice).collect()
}

/// A place with the topics of the group, and with these invoices in the input.
fn place(invoices: Vec<Message>) -> Place {
    let place = Place::new("deferred");
    broker().create_topic(&place.physical("invoices"), 4);
    broker().create_topic(&place.physical("booked"), 4);
    produce(broker().address(), &place.physical("invoices"), invoices);
    place
}

async fn start(place: &Place, elsewhere: &Elsewhere) -> Running {
    let app = App::new(place.config().workers(1)).processor(Ledger::new(elsewhere));
    app.start().await.expect("the app starts")
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

/// Waits until there are this many guards.
async fn guards(elsewhere: &Elsewhere, count: usize) {
    let there = async {
        while elsewhere.lock().expect("no panic").len() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, there)
        .await
        .expect("the handlers must be called in time");
}

fn sums(rows: &[Record]) -> BTreeMap<String, String> {
    last_values(rows)
}

fn text(sums: &[(&str, i64)]) -> BTreeMap<String, String> {
    let text = |(key, sum): &(&str, i64)| ((*key).to_owned(), sum.to_string());
    sums.iter().map(text).collect()
}

#[tokio::test]
async fn a_deferred_record_holds_back_its_partition_until_it_is_done() {
    let place = place(invoices(&["a", "slow", "a", "slow", "b", "a"]));
    let elsewhere = Elsewhere::default();
    let running = start(&place, &elsewhere).await;
    guards(&elsewhere, 2).await;
    // Later records of the partition are handled, and their handlers see the rows that are held back. Another partition
    // goes on.
    let elsewhere_partition = (0..50).map(|n| Message {
        partition: Some(1),
        ..Message::new(format!("other-{n}"), "1")
    });
    produce(
        broker().address(),
        &place.physical("invoices"),
        elsewhere_partition,
    );
    let rows = wait_for_records(place.physical("ledger-state"), 51).await;
    assert_eq!(rows.len(), 51, "{rows:?}");
    let held_back = rows.iter().filter(|row| row.partition == 0).count();
    assert_eq!(
        held_back, 1,
        "only the row before the deferred record must be written"
    );

    // Completing the later guard first releases nothing. A guard can be completed on any thread.
    let mut guards: Vec<_> = std::mem::take(&mut *elsewhere.lock().expect("no panic"));
    let (second, first) = (guards.pop().expect("two"), guards.pop().expect("two"));
    second.done();
    std::thread::spawn(|| first.done())
        .join()
        .expect("the record is done in time");
    let rows = wait_for_records(place.physical("ledger-state"), 56).await;
    end(running).await;
    let order = rows.iter().filter(|row| row.partition == 0);
    let order: Vec<_> = order
        .map(|row| (row.key_text(), row.value_text()))
        .collect();
    let expected = [
        ("a", "1"),
        ("slow", "2"),
        ("a", "4"),
        ("slow", "6"),
        ("b", "5"),
        ("a", "10"),
    ];
    assert_eq!(order, expected);
    let booked = wait_for_records(place.physical("booked"), 56).await;
    assert_eq!(booked.len(), 56);
}

#[tokio::test]
async fn a_clean_restart_handles_what_was_deferred_again_and_no_later_row_twice() {
    let place = place(invoices(&["a", "slow", "a", "b", "a"]));
    let elsewhere = Elsewhere::default();
    for _ in 0..3 {
        let running = start(&place, &elsewhere).await;
        guards(&elsewhere, 1).await;
        end(running).await;
        elsewhere.lock().expect("no panic").clear();
    }
    let running = start(&place, &elsewhere).await;
    guards(&elsewhere, 1).await;
    elsewhere
        .lock()
        .expect("no panic")
        .drain(..)
        .for_each(Deferred::done);
    let rows = wait_for_records(place.physical("ledger-state"), 5).await;
    end(running).await;
    assert_eq!(sums(&rows), text(&[("a", 9), ("b", 4), ("slow", 2)]));
    let booked = wait_for_records(place.physical("booked"), 5).await;
    assert_eq!(
        (rows.len(), booked.len()),
        (5, 5),
        "each invoice must have one row and one message"
    );
}

#[tokio::test]
async fn a_guard_that_is_dropped_or_fails_ends_the_processor_and_names_the_record() {
    for (fail, cause) in [
        (false, "dropped without `done`"),
        (true, "the bank rejects the payment"),
    ] {
        let place = place(invoices(&["a", "slow", "a"]));
        let elsewhere = Elsewhere::default();
        let mut running = start(&place, &elsewhere).await;
        guards(&elsewhere, 1).await;
        let guard = elsewhere.lock().expect("no panic").pop().expect("one");
        match fail {
            true => guard.fail("the bank rejects the payment"),
            false => drop(guard),
        }
        let ended = timeout(DEADLINE, running.wait())
            .await
            .expect("the app ends in time");
        let failure = ended.expect_err("the record failed");
        assert!(
            matches!(failure, Error::Record { offset: 1, .. }),
            "{failure}"
        );
        for part in [
            &place.physical("invoices"),
            "ledger",
            "`slow`",
            "deferred",
            cause,
        ] {
            assert!(
                failure.to_string().contains(part),
                "the text must contain `{part}`: {failure}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn with_exactly_once_deferring_is_refused_with_what_to_do() {
    // The embedded broker does not support exactly-once.
    needs_kafka();
    let place = place(invoices(&["a", "slow", "a"]));
    let config = place.config().guarantee(Guarantee::ExactlyOnce);
    let app = App::new(config).processor(Ledger::new(&Elsewhere::default()));
    let mut running = app.start().await.expect("the app starts");
    let ended = timeout(DEADLINE, running.wait())
        .await
        .expect("the app ends in time");
    let failure = ended.expect_err("the record failed").to_string();
    for part in ["`invoiced`", "`slow`", "at-least-once", "async fn"] {
        assert!(
            failure.contains(part),
            "the text must contain `{part}`: {failure}"
        );
    }
}

#[tokio::test]
async fn a_deferred_record_that_is_never_done_holds_back_a_bounded_number_of_records() {
    const BEHIND: usize = 20_000;
    let mut messages = invoices(&["slow"]);
    messages.extend((0..BEHIND).map(|n| Message {
        partition: Some(0),
        ..Message::new(format!("key-{}", n % 100), "1")
    }));
    let place = place(messages);
    let elsewhere = Elsewhere::default();
    let ledger = Ledger::new(&elsewhere);
    let handled = ledger.handled.clone();
    let app = App::new(place.config().workers(1)).processor(ledger);
    let running = app.start().await.expect("the app starts");
    guards(&elsewhere, 1).await;
    // Another partition of the same worker goes on in the meantime.
    let other = (0..5_000).map(|_| Message {
        partition: Some(1),
        ..Message::new("other", "1")
    });
    produce(broker().address(), &place.physical("invoices"), other);
    let rows = wait_for_records(place.physical("ledger-state"), 5_000).await;
    assert!(rows.iter().all(|row| row.partition == 1), "{rows:?}");
    let handled_behind = handled.load(Ordering::Relaxed) - 5_000;
    assert!(handled_behind < BEHIND / 2, "{handled_behind}");
    elsewhere
        .lock()
        .expect("no panic")
        .drain(..)
        .for_each(Deferred::done);
    let rows = wait_for_records(place.physical("ledger-state"), 5_000 + BEHIND + 1).await;
    end(running).await;
    let mut expected = text(&[("slow", 1), ("other", 5_000)]);
    expected.extend((0..100).map(|n| (format!("key-{n}"), (BEHIND / 100).to_string())));
    assert_eq!(sums(&rows), expected);
}

/// The app of the test below, in a process of its own: it handles invoices, and defers the slow ones until it is
/// killed.
async fn defer_until_killed() {
    let variable = |name| env::var(name).expect("the starting test sets this variable");
    let config = goka::Config::new()
        .brokers(variable("DEFERRED_BROKERS"))
        .prefix(variable("DEFERRED_PREFIX"))
        .state_dir(variable("DEFERRED_STATE"));
    let elsewhere = Elsewhere::default();
    let app = App::new(config).processor(Ledger::new(&elsewhere));
    let mut running = app.start().await.expect("the app starts");
    guards(&elsewhere, 2).await;
    println!("two records are deferred");
    running
        .wait()
        .await
        .expect("the app runs until the test kills its process");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn killed_while_records_are_deferred_none_is_lost() {
    if env::var_os("DEFERRED_BROKERS").is_some() {
        return defer_until_killed().await;
    }
    // The embedded broker repeats records around the rebalance that a kill causes.
    needs_kafka();
    let place = place(invoices(&["a", "slow", "a", "slow", "b"]));
    for _ in 0..3 {
        let mut command = this_test("killed_while_records_are_deferred_none_is_lost");
        command
            .env("DEFERRED_BROKERS", broker().address())
            .env("DEFERRED_PREFIX", place.physical(""))
            .env("DEFERRED_STATE", place.state_dir());
        let mut program = Program::run(command);
        program.wait_for("guards", |line| {
            line.contains("two records are deferred").then_some(())
        });
        program.kill();
    }
    let elsewhere = Elsewhere::default();
    let running = start(&place, &elsewhere).await;
    guards(&elsewhere, 2).await;
    elsewhere
        .lock()
        .expect("no panic")
        .drain(..)
        .for_each(Deferred::done);
    let last = text(&[("b", 5), ("slow", 6)]);
    let rows = wait_for_values(place.physical("ledger-state"), last).await;
    end(running).await;
    assert_eq!(
        sums(&rows),
        text(&[("a", 4), ("b", 5), ("slow", 6)]),
        "{rows:?}"
    );
}
