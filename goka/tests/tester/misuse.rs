//! Mistakes in tests: for each mistake, the tester panics with a message that says what to do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use goka::Tester;

use crate::graph::{Gifts, Prices, Rewards, count, rewards};

/// Runs a test that panics, and returns the message of the panic.
fn panic_of<T>(test: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test))
        .err()
        .expect("the tester panics");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .expect("the panic must have a text")
            .to_string(),
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            text.contains(part),
            "the panic must contain `{part}`: {text}"
        );
    }
}

#[test]
fn topics_that_nobody_has() {
    let mut tester = Tester::new().processor(count::Processor);
    says(
        &panic_of(|| tester.emit::<Gifts>("alice", &1)),
        &["`user-gifts`", "Tester::processor", "user-clicks"],
    );
    says(
        &panic_of(|| tester.get::<Prices>(&1)),
        &["`prices-state`", "Tester::view"],
    );
    says(&panic_of(|| tester.emitted::<Gifts>()), &["`user-gifts`"]);
    says(
        &panic_of(|| tester.emit_to::<Rewards>("user-gifts", "alice", &1_i64)),
        &["`rewards`", "Tester::processor"],
    );
    says(
        &panic_of(|| tester.emit_to::<count::Processor>("user-click", "alice", &1_i64)),
        &["no input `user-click`", "`user-clicks`"],
    );
}

#[test]
fn values_of_another_type() {
    let mut tester = Tester::new().processor(count::Processor);
    says(
        &panic_of(|| tester.emit_to::<count::Processor>("user-clicks", "alice", &"1")),
        &["has values of type `i64`", "has type `&str`"],
    );
    #[goka::stream("user-clicks", value = i64, codec = goka::codec::Json)]
    struct Others;
    says(
        &panic_of(|| tester.emit::<Others>("alice", &1)),
        &["`user-clicks`", "codec", "json", "text", "my-group"],
    );
    #[goka::stream("user-clicks", value = i64, partitioner = fnv1a)]
    struct Elsewhere;
    says(
        &panic_of(|| tester.emit::<Elsewhere>("alice", &1)),
        &["partitioner", "fnv1a"],
    );
    #[goka::stream("my-group-state", value = i64)]
    struct NoStream;
    says(
        &panic_of(|| tester.emit::<NoStream>("alice", &1)),
        &["table", "stream"],
    );
}

#[test]
fn processors_that_do_not_go_together() {
    let twice = || {
        Tester::new()
            .processor(count::Processor)
            .processor(count::Processor)
    };
    says(&panic_of(twice), &["`my-group`", "Tester::start_instance"]);
    let late = || Tester::new().processor(count::Processor).seed(7);
    says(&panic_of(late), &["Tester::seed", "before"]);
    // A join reads the row in the partition that has the same number as the input record's partition, so both topics
    // must have the same number of partitions.
    let differs = || {
        let mut tester = Tester::new().partitions(2);
        let _ = tester.view::<crate::graph::Profiles>();
        tester.partitions(4).processor(rewards())
    };
    says(
        &panic_of(differs),
        &["`profiles-state`", "2 partitions", "lookup"],
    );
    let none = || {
        Tester::new()
            .processor(count::Processor)
            .start_instance::<Rewards>()
    };
    says(&panic_of(none), &["`rewards`", "Tester::processor"]);
}

#[test]
fn an_error_that_nobody_asked_for_is_a_panic_with_the_seed() {
    let mut tester = Tester::new().seed(42).processor(rewards());
    tester.emit::<Gifts>("alice", &-1);
    says(
        &panic_of(|| tester.rows::<crate::graph::Points>()),
        &["must not be negative", "seed 42", "Tester::run"],
    );
}

/// A text codec that refuses every program, whether it reads or writes.
struct Unregistered;

impl goka::Codec<String> for Unregistered {
    fn encode(value: &String, out: &mut Vec<u8>) -> Result<(), goka::BoxError> {
        goka::codec::Text::encode(value, out)
    }
    fn decode(bytes: &[u8]) -> Result<String, goka::BoxError> {
        goka::codec::Text::decode(bytes)
    }
    fn prepare(_: &goka::codec::Prepare<'_>) -> Result<(), goka::BoxError> {
        Err("no schema is registered".into())
    }
}

#[goka::stream("unregistered", value = String, codec = Unregistered)]
struct Lines;

#[goka::processor(group = "unregistered", input = Lines)]
fn read(_: &mut read::Context, _line: String) {}

#[test]
fn codecs_that_refuse_their_topic() {
    let panic = panic_of(|| Tester::new().processor(read::Processor));
    says(&panic, &["topic `unregistered`", "no schema is registered"]);
}
