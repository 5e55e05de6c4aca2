//! The next offset of a group no longer exists in its input. The setting `out_of_range` chooses the position at which
//! the group resumes, and the group keeps this position.

mod place;

use std::fs;

use goka::{App, Error, Guarantee, Running, config::OutOfRange};
use goka_tests::{
    DEADLINE, Message, Record, broker, commit_offset, kafka_tool, needs_kafka, produce,
    wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::stream("jobs", value = i64)]
struct Jobs;
#[goka::table(value = i64)]
struct Done;

#[goka::processor(group = "sums", input = Jobs, table = Done)]
fn sums(ctx: &mut sums::Context, size: i64) -> goka::Result {
    let done = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(done + size))
}

/// The guarantees that the broker under test supports. The embedded broker does not support exactly-once.
fn guarantees() -> Vec<Guarantee> {
    match broker().is_kafka() {
        true => vec![Guarantee::AtLeastOnce, Guarantee::ExactlyOnce],
        false => vec![Guarantee::AtLeastOnce],
    }
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

/// A group whose committed offset is beyond the end of its input, as it is after the input was deleted and created
/// again.
fn place_beyond_the_end() -> Place {
    let place = Place::new("out-of-range");
    let (group, jobs) = (place.physical("sums"), place.physical("jobs"));
    broker().create_topic(&jobs, 4);
    produce(broker().address(), &jobs, ["100", "10"].map(in_partition_0));
    commit_offset(broker().address(), &group, &jobs, 1_000);
    place
}

fn in_partition_0(size: &str) -> Message {
    Message {
        partition: Some(0),
        ..Message::new("alice", size)
    }
}

async fn start_where(place: &Place, guarantee: Guarantee, out_of_range: OutOfRange) -> Running {
    let config = place
        .config()
        .guarantee(guarantee)
        .out_of_range(out_of_range);
    let app = App::new(config).processor(sums::Processor);
    app.start().await.expect("the app starts")
}

#[tokio::test]
async fn an_input_that_fell_off_retention_goes_on_with_the_oldest_record() {
    for guarantee in guarantees() {
        let place = place_beyond_the_end();
        // The group's committed offset and the local copy keep the new position: the second instance reads no record
        // again.
        for (out_of_range, rows) in [(OutOfRange::Earliest, 2), (OutOfRange::Fail, 3)] {
            let running = start_where(&place, guarantee, out_of_range).await;
            let rows = wait_for_records(place.physical("sums-state"), rows).await;
            end(running).await;
            let rows: Vec<_> = rows.iter().map(Record::value_text).collect();
            assert_eq!(rows, ["100", "110", "111"][..rows.len()], "{guarantee:?}");
            let jobs = place.physical("jobs");
            produce(broker().address(), &jobs, [in_partition_0("1")]);
        }
    }
}

#[tokio::test]
async fn an_input_that_fell_off_retention_goes_on_with_what_comes() {
    let place = place_beyond_the_end();
    let running = start_where(&place, Guarantee::AtLeastOnce, OutOfRange::Latest).await;
    let rows = tokio::spawn(wait_for_records(place.physical("sums-state"), 1));
    while !rows.is_finished() {
        let (address, jobs) = (broker().address(), place.physical("jobs"));
        let more = move || produce(address, &jobs, [in_partition_0("1")]);
        tokio::task::spawn_blocking(more)
            .await
            .expect("the record is written");
    }
    let rows = rows.await.expect("the reading thread does not panic");
    end(running).await;
    assert_eq!(rows[0].value_text(), "1", "{rows:?}");
}

/// A group whose committed offset, 2, is below the start offset of its input, which has the offsets 5 to 10.
fn place_below_the_start() -> Place {
    let place = Place::new("fell-off");
    let (group, jobs) = (place.physical("sums"), place.physical("jobs"));
    broker().create_topic(&jobs, 4);
    produce(broker().address(), &jobs, ["1"; 10].map(in_partition_0));
    commit_offset(broker().address(), &group, &jobs, 2);
    let before = format!(
        "{{\"version\": 1, \"partitions\": [{{\"topic\": \"{jobs}\", \"partition\": 0, \"offset\": 5}}]}}"
    );
    let file = tempfile::NamedTempFile::new().expect("the temporary file can be created");
    fs::write(file.path(), before).expect("the file can be written");
    let file = file.path().display().to_string();
    let arguments = [
        "--bootstrap-server",
        broker().address(),
        "--offset-json-file",
        &file,
    ];
    kafka_tool("org.apache.kafka.tools.DeleteRecordsCommand", &arguments);
    place
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn an_offset_below_what_is_left_does_as_the_setting_says() {
    // The embedded broker cannot delete records.
    needs_kafka();
    for guarantee in guarantees() {
        let place = place_below_the_start();
        let mut running = start_where(&place, guarantee, OutOfRange::Fail).await;
        let ended = timeout(DEADLINE, running.wait()).await;
        let failure = ended
            .expect("the app ends by itself")
            .expect_err("the app fails");
        let said = failure.to_string();
        assert!(matches!(failure, Error::Topic(_)), "{said}");
        for part in ["needs offset 2", "has offsets 5 to 10", "GOKA_OUT_OF_RANGE"] {
            assert!(said.contains(part), "{said}");
        }
        drop(running);
        // The failure has not changed the committed offset.
        let running = start_where(&place, guarantee, OutOfRange::Earliest).await;
        let rows = wait_for_records(place.physical("sums-state"), 5).await;
        end(running).await;
        let rows: Vec<_> = rows.iter().map(Record::value_text).collect();
        assert_eq!(rows, ["1", "2", "3", "4", "5"], "{guarantee:?}");

        let place = place_below_the_start();
        let running = start_where(&place, guarantee, OutOfRange::Latest).await;
        timeout(DEADLINE, running.recovered())
            .await
            .expect("recovery ends in time")
            .expect("the app runs");
        let (address, jobs) = (broker().address(), place.physical("jobs"));
        produce(address, &jobs, [in_partition_0("70")]);
        let rows = wait_for_records(place.physical("sums-state"), 1).await;
        end(running).await;
        assert_eq!(rows[0].value_text(), "70", "{guarantee:?}");
    }
}
