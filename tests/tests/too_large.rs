//! The output topic accepts only smaller records than the producer does, so the broker refuses a record that was sent.
//! The processor ends with an error that names cause and remedy, and commits no offset past the record. Needs a real
//! Kafka.

mod place;

use std::fmt::Write as _;

use goka::{App, BoxError, Guarantee, Running};
use goka_tests::{
    DEADLINE, Message, Record, broker, kafka_tool, needs_kafka, produce, read_topic,
    wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::stream("jobs", value = u32)]
struct Jobs;
#[goka::stream("texts", value = String)]
struct Texts;
#[goka::table(value = u32)]
struct Written;

/// Writes a text with as many bytes as the job says, and adds up these numbers in the table.
#[goka::processor(group = "writes", input = Jobs, table = Written, output(Texts))]
fn write(ctx: &mut write::Context<'_>, bytes: u32) -> Result<(), BoxError> {
    let written = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(written + bytes))?;
    ctx.emit::<Texts>(ctx.key(), &noise(bytes))?;
    Ok(())
}

/// A text of this many bytes that does not compress well.
fn noise(bytes: u32) -> String {
    let (mut text, mut state) = (String::new(), u64::from(bytes));
    while text.len() < bytes as usize {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        write!(text, "{:08x}", state >> 32).expect("writing to a String never fails");
    }
    text.truncate(bytes as usize);
    text
}

async fn start(place: &Place, guarantee: Guarantee) -> Running {
    let app = App::new(place.config().guarantee(guarantee)).processor(write::Processor);
    app.start().await.expect("the app starts")
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_record_that_the_topic_refuses_ends_the_processor_and_is_written_once_the_topic_accepts_it()
 {
    // The embedded broker accepts records of any size.
    needs_kafka();
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let place = Place::new("too-large");
        let (jobs, texts) = (place.physical("jobs"), place.physical("texts"));
        broker().create_topic(&jobs, 1);
        broker().create_topic_with(&texts, 1, &[("max.message.bytes", "1000")]);
        let sizes = ["10", "20000", "30"];
        let messages = sizes.map(|size| Message::new("alice", size));
        produce(broker().address(), &jobs, messages);
        for _ in 0..2 {
            let mut running = start(&place, guarantee).await;
            let ended = timeout(DEADLINE, running.wait()).await;
            let error = ended
                .expect("the app ends by itself")
                .expect_err("the app fails");
            let error = error.to_string();
            println!("{guarantee:?}: {error}");
            for part in [texts.as_str(), "max.message.bytes"] {
                assert!(error.contains(part), "{error}");
            }
        }
        if guarantee == Guarantee::ExactlyOnce {
            let rows = read_topic(broker().address(), &place.physical("writes-state"));
            assert!(rows.iter().all(|row| row.value_text() == "10"), "{rows:?}");
        }

        let alter = [
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            &texts,
        ];
        let larger = ["--add-config", "max.message.bytes=100000"];
        let at = ["--bootstrap-server", broker().address()];
        let arguments = [&at[..], &alter, &larger].concat();
        kafka_tool("kafka.admin.ConfigCommand", &arguments);
        let running = start(&place, guarantee).await;
        let last = loop {
            let rows = wait_for_records(place.physical("writes-state"), 3).await;
            // The undo of a first row is a tombstone.
            let rows: Vec<u32> = rows
                .iter()
                .filter(|row| row.value.is_some())
                .filter_map(|row| row.value_text().parse().ok())
                .collect();
            if rows.last().is_some_and(|last| *last >= 20_040) {
                break rows;
            }
        };
        timeout(DEADLINE, running.shutdown())
            .await
            .expect("the program ends in time")
            .expect("the app ends without an error");
        let written = read_topic(broker().address(), &texts);
        let lengths: Vec<_> = written.iter().map(|text| text.value_text().len()).collect();
        match guarantee {
            Guarantee::ExactlyOnce => {
                assert_eq!(lengths, [10, 20_000, 30]);
                assert_eq!(last, [10, 20_010, 20_040]);
            }
            // With at-least-once, texts may be written more than once, but none is missing.
            Guarantee::AtLeastOnce => {
                for size in [10, 20_000, 30] {
                    assert!(lengths.contains(&size), "{lengths:?}");
                }
                assert_eq!(last.last(), Some(&20_040), "each job counts once: {last:?}");
            }
        }
        let is_text = |text: &Record| text.value_text() == noise(text.value_text().len() as u32);
        assert!(written.iter().all(is_text));
    }
}
