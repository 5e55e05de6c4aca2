//! Records that cannot be processed, on a broker. The tests cover each policy at each stage, in both guarantees; which
//! partitions a retry blocks; kills during retries; and dead letters that are repaired and written to the input again.

mod place;

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use goka::{App, BoxError, Config, Context, DeadLetter, Error, Guarantee, Running};
use goka_tests::{
    DEADLINE, Message, Program, Record, broker, last_values, needs_kafka, produce, read_topic,
    this_test, wait_for_records, wait_for_values,
};
use place::Place;
use tokio::time::timeout;

#[goka::stream("jobs", value = i64)]
struct Jobs;
#[goka::stream("log", value = i64)]
struct Log;
#[goka::table(value = i64)]
struct Done;

/// Adds up sizes. The size 13 returns an error and the size 666 panics, but only after they have had the same effects
/// as any other size.
fn work<P>(ctx: &mut Context<'_, P>, size: i64) -> Result<(), BoxError>
where
    P: goka::Processor<Key = String> + goka::graph::Persists<Done> + goka::graph::Emits<Log>,
{
    let done = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(done + size))?;
    ctx.emit::<Log>(ctx.key(), &size)?;
    match size {
        13 => Err("13 is unlucky".into()),
        666 => panic!("666 is too much"),
        _ => Ok(()),
    }
}

#[goka::processor(group = "fails", input = Jobs, table = Done, output(Log))]
fn fails(ctx: &mut fails::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[goka::processor(group = "skips", input = Jobs, table = Done, output(Log), on_error = skip)]
fn skips(ctx: &mut skips::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[goka::processor(group = "keeps", input = Jobs, table = Done, output(Log), on_error = dead_letter)]
fn keeps(ctx: &mut keeps::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[goka::processor(
    group = "tries",
    input = Jobs,
    table = Done,
    output(Log),
    on_error = retry(2, backoff_ms = 10, then = dead_letter("given-up"))
)]
fn tries(ctx: &mut tries::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[goka::processor(group = "insists", input = Jobs, table = Done, output(Log), on_error = retry(2, backoff_ms = 10))]
fn insists(ctx: &mut insists::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

const STAGES: [(&str, &str); 3] = [("decode", "x"), ("handler", "13"), ("panic", "666")];

/// The guarantees that the broker under test supports. The embedded broker does not support exactly-once.
fn guarantees() -> Vec<Guarantee> {
    match broker().is_kafka() {
        true => vec![Guarantee::AtLeastOnce, Guarantee::ExactlyOnce],
        false => vec![Guarantee::AtLeastOnce],
    }
}

/// A place with the topics of `work`, and with these jobs in the input.
fn place(jobs: impl IntoIterator<Item = Message>) -> Place {
    let place = Place::new("policies");
    broker().create_topic(&place.physical("jobs"), 4);
    broker().create_topic(&place.physical("log"), 4);
    produce(broker().address(), &place.physical("jobs"), jobs);
    place
}

/// Jobs for each user: bad jobs, with good jobs between them. Each job has a header.
fn jobs() -> Vec<Message> {
    let sizes = ["1", "x", "2", "13", "4", "666", "8"];
    let job = |(user, size): (usize, &str)| Message {
        headers: vec![("trace".to_owned(), b"7".to_vec())],
        ..Message::new(format!("user {user}"), size)
    };
    let jobs = (0..20).flat_map(|user| sizes.map(|size| (user, size)));
    jobs.map(job).collect()
}

fn everyone(done: &str) -> BTreeMap<String, String> {
    let users = (0..20).map(|user| (format!("user {user}"), done.to_owned()));
    users.collect()
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

fn header(record: &Record, name: &str) -> String {
    let found: Vec<_> = record.headers.iter().filter(|(n, _)| n == name).collect();
    let [(_, Some(value))] = &found[..] else {
        panic!("`{name}` does not occur exactly once: {record:?}");
    };
    String::from_utf8(value.clone()).expect("text")
}

#[tokio::test]
async fn fail_ends_the_processor_and_nothing_past_the_record_is_committed() {
    for guarantee in guarantees() {
        for (stage, bad) in STAGES {
            let job = |size: &str| Message::new("alice", size);
            let place = place([job("1"), job(bad), job("2")]);
            for _ in 0..2 {
                let config = place.config().guarantee(guarantee);
                let app = App::new(config).processor(fails::Processor);
                let mut running = app.start().await.expect("the app starts");
                let ended = timeout(DEADLINE, running.wait()).await;
                let failure = ended
                    .expect("the app ends by itself")
                    .expect_err("the app fails");
                assert!(
                    matches!(failure, Error::Record { offset: 1, .. }),
                    "{stage}: {failure}"
                );
            }
            let rows = read_topic(broker().address(), &place.physical("fails-state"));
            let rows: Vec<_> = rows.iter().map(Record::value_text).collect();
            assert_eq!(rows, ["1"], "{stage}");
        }
    }
}

#[tokio::test]
async fn a_retry_that_says_no_more_fails_in_the_end() {
    for guarantee in guarantees() {
        let place = place(["1", "13", "2"].map(|size| Message::new("alice", size)));
        let app = App::new(place.config().guarantee(guarantee)).processor(insists::Processor);
        let mut running = app.start().await.expect("the app starts");
        let ended = timeout(DEADLINE, running.wait()).await;
        let failure = ended
            .expect("the app ends by itself")
            .expect_err("the app fails");
        assert!(
            matches!(failure, Error::Record { offset: 1, .. }),
            "{failure}"
        );
        assert_eq!(running.stats().groups[0].retries, 2);
        let rows = read_topic(broker().address(), &place.physical("insists-state"));
        let rows: Vec<_> = rows.iter().map(Record::value_text).collect();
        assert_eq!(rows, ["1"]);
    }
}

#[tokio::test]
async fn skip_dead_letter_and_retry_at_each_stage() {
    for guarantee in guarantees() {
        let place = place(jobs());
        // The dead-letter topic of `tries` exists already. Such a topic may have any number of partitions.
        broker().create_topic(&place.physical("given-up"), 1);
        let app = App::new(place.config().guarantee(guarantee).workers(1))
            .processor(skips::Processor)
            .processor(keeps::Processor)
            .processor(tries::Processor);
        let running = app.start().await.expect("the app starts");
        for group in ["skips", "keeps", "tries"] {
            let rows = wait_for_records(place.physical(&format!("{group}-state")), 80).await;
            assert_eq!(last_values(&rows), everyone("15"), "{group}");
        }
        let log = wait_for_records(place.physical("log"), 3 * 80).await;
        assert!(
            log.iter()
                .all(|line| !["13", "666"].contains(&line.value_text())),
            "a failed handler must have no effects"
        );
        let kept = wait_for_records(place.physical("keeps-dead-letter"), 60).await;
        let given_up = wait_for_records(place.physical("given-up"), 60).await;
        let stats = running.stats();
        end(running).await;
        let counted = stats.groups.iter().map(|group| {
            // There are more retries if a partition moved to another worker in the meantime.
            let retries = if group.group == "tries" { 80 } else { 0 };
            assert!(group.handled >= 140 && group.retries >= retries);
            (group.group, group.skipped / 60, group.dead_letters / 60)
        });
        let expected = [("skips", 1, 0), ("keeps", 0, 1), ("tries", 0, 1)];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
        let sent = read_topic(broker().address(), &place.physical("jobs"));
        for (letters, group) in [(&kept, "keeps"), (&given_up, "tries")] {
            assert_eq!(letters.len(), 60);
            for letter in letters {
                let partition = header(letter, "goka-partition");
                let offset = header(letter, "goka-offset");
                let is_it = |job: &&Record| {
                    job.partition.to_string() == partition && job.offset.to_string() == offset
                };
                let job = sent
                    .iter()
                    .find(is_it)
                    .expect("the dead letter belongs to a job");
                assert_eq!((&letter.key, &letter.value), (&job.key, &job.value));
                assert_eq!(header(letter, "trace"), "7");
                assert_eq!(header(letter, "goka-topic"), place.physical("jobs"));
                assert_eq!(header(letter, "goka-group"), group);
                let timestamp = job
                    .timestamp
                    .expect("the record has a timestamp")
                    .to_string();
                assert_eq!(header(letter, "goka-timestamp"), timestamp);
                let stage = STAGES.iter().find(|(_, bad)| *bad == letter.value_text());
                let (stage, _) = stage.expect("the dead letter is one of the bad records");
                assert_eq!(header(letter, "goka-stage"), *stage);
            }
        }
        // The group has created this dead-letter topic, with as many partitions as the input has.
        assert!(
            kept.iter()
                .all(|l| l.partition.to_string() == header(l, "goka-partition"))
        );
        assert!(kept.iter().any(|l| l.partition != 0));
    }
}

/// A processor that fails until the test declares the outage to be over.
#[derive(Clone, Default)]
struct Outage {
    is_over: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
}

#[goka::processor(group = "outage", table = Done)]
impl Outage {
    #[input(Jobs, on_error(handler = retry(1_000_000, backoff_ms = 5..=20)))]
    fn work(&self, ctx: &mut Context<'_, Self>, size: i64) -> Result<(), BoxError> {
        let done = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(done + size))?;
        if ctx.key() == "stuck" && !self.is_over.load(Ordering::Relaxed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err("the other system is away".into());
        }
        Ok(())
    }
}

impl Outage {
    async fn has_failed(&self, times: usize) {
        let more = self.failures.load(Ordering::Relaxed) + times;
        let failed = async {
            while self.failures.load(Ordering::Relaxed) < more {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, failed)
            .await
            .expect("the record is retried in time");
    }
}

#[tokio::test]
async fn a_retry_holds_up_its_partition_and_no_other_of_its_worker() {
    const BEHIND: usize = 2_000;
    for guarantee in guarantees() {
        let job = |partition: i32, key: String| Message {
            partition: Some(partition),
            ..Message::new(key, "1")
        };
        let others = (0..4 * BEHIND).map(|n| {
            let partition = i32::try_from(n % 4).expect("the number is below 4");
            job(partition, format!("key-{partition}-{}", n % 100))
        });
        let place = place(std::iter::once(job(0, "stuck".to_owned())).chain(others));
        let outage = Outage::default();
        let config = place.config().guarantee(guarantee).workers(1);
        let running = App::new(config).processor(outage.clone()).start().await;
        let running = running.expect("the app starts");
        let rows = wait_for_records(place.physical("outage-state"), 3 * BEHIND).await;
        assert!(rows.iter().all(|row| row.partition != 0));
        outage.has_failed(5).await;
        outage.is_over.store(true, Ordering::Relaxed);
        let rows = wait_for_records(place.physical("outage-state"), 4 * BEHIND + 1).await;
        end(running).await;
        let of_it: Vec<_> = rows.iter().filter(|row| row.partition == 0).collect();
        assert_eq!(
            of_it[0].key_text(),
            "stuck",
            "the first row must be that of the first record in the partition"
        );
        let mut model = BTreeMap::from([("stuck".to_owned(), 1)]);
        for n in 0..4 * BEHIND {
            let key = format!("key-{}-{}", n % 4, n % 100);
            *model.entry(key).or_insert(0) += 1;
        }
        let model: BTreeMap<_, _> = model
            .iter()
            .map(|(k, n)| (k.clone(), n.to_string()))
            .collect();
        assert_eq!(last_values(&rows), model);
    }
}

/// The app of the test below, in a process of its own: it retries a job again and again, until it is killed.
async fn retry_until_killed() {
    let variable = |name| env::var(name).expect("the starting test sets this variable");
    let guarantee = match variable("POLICIES_GUARANTEE").as_str() {
        "ExactlyOnce" => Guarantee::ExactlyOnce,
        _ => Guarantee::AtLeastOnce,
    };
    let config = Config::new()
        .brokers(variable("POLICIES_BROKERS"))
        .prefix(variable("POLICIES_PREFIX"))
        .state_dir(variable("POLICIES_STATE"))
        .guarantee(guarantee);
    let outage = Outage::default();
    let app = App::new(config).processor(outage.clone());
    let mut running = app.start().await.expect("the app starts");
    outage.has_failed(3).await;
    println!("the handler has failed three times");
    running
        .wait()
        .await
        .expect("the app runs until the test kills its process");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn killed_in_the_middle_of_retries_nothing_is_lost() {
    if env::var_os("POLICIES_BROKERS").is_some() {
        return retry_until_killed().await;
    }
    // The embedded broker repeats records around the rebalance that a kill causes.
    needs_kafka();
    for guarantee in guarantees() {
        let keys = ["a", "stuck", "b", "stuck", "b"];
        let place = place(keys.map(|key| Message {
            partition: Some(0),
            ..Message::new(key, "1")
        }));
        for _ in 0..3 {
            let mut command = this_test("killed_in_the_middle_of_retries_nothing_is_lost");
            command
                .env("POLICIES_BROKERS", broker().address())
                .env("POLICIES_PREFIX", place.physical(""))
                .env("POLICIES_STATE", place.state_dir())
                .env("POLICIES_GUARANTEE", format!("{guarantee:?}"));
            let mut program = Program::run(command);
            program.wait_for("retries", |line| {
                line.contains("the handler has failed three times")
                    .then_some(())
            });
            program.kill();
        }
        let outage = Outage::default();
        outage.is_over.store(true, Ordering::Relaxed);
        let app = App::new(place.config().guarantee(guarantee)).processor(outage);
        let running = app.start().await.expect("the app starts");
        let expected = BTreeMap::from(["b", "stuck"].map(|key| (key.to_owned(), "2".to_owned())));
        let rows = wait_for_values(place.physical("outage-state"), expected.clone()).await;
        end(running).await;
        let mut done = last_values(&rows);
        let a = done.remove("a");
        assert_eq!(a.as_deref(), Some("1"), "{guarantee:?}: {rows:?}");
        assert_eq!(done, expected, "{guarantee:?}");
    }
}

/// The dead letters of `keeps`, read as text. [`AnyJobs`] are the jobs, written as text.
#[goka::stream("keeps-dead-letter", value = String)]
struct Kept;
#[goka::stream("jobs", value = String)]
struct AnyJobs;

/// Repairs the value of a dead letter: text that is not a number becomes 16, and a refused size is reduced by 1.
#[goka::processor(group = "mend", input = Kept, output(AnyJobs))]
fn mend(ctx: &mut mend::Context<'_>, job: String) -> Result<(), BoxError> {
    let letter =
        DeadLetter::of(ctx.headers()).ok_or("the record has no headers of a dead letter")?;
    let mended = job.parse::<i64>().map_or(16, |size| size - 1);
    Ok(ctx.emit_with::<AnyJobs>(ctx.key(), &mended.to_string(), letter.meta())?)
}

#[tokio::test]
async fn mended_and_written_again_dead_letters_make_the_table_right() {
    for guarantee in guarantees() {
        let place = place(jobs());
        let app = App::new(place.config().guarantee(guarantee)).processor(keeps::Processor);
        let running = app.start().await.expect("the app starts");
        wait_for_records(place.physical("keeps-state"), 80).await;
        wait_for_records(place.physical("keeps-dead-letter"), 60).await;
        let app = App::new(
            place
                .config()
                .guarantee(guarantee)
                .state_dir(place.state_dir().join("mend")),
        );
        let mending = app.processor(mend::Processor).start().await;
        let mending = mending.expect("the app starts");
        let rows = wait_for_records(place.physical("keeps-state"), 140).await;
        end(mending).await;
        end(running).await;
        let done = (1 + 2 + 4 + 8 + 16 + 12 + 665).to_string();
        assert_eq!(last_values(&rows), everyone(&done));
        let letters = read_topic(broker().address(), &place.physical("keeps-dead-letter"));
        assert_eq!(
            letters.len(),
            60,
            "the record has no headers of a dead letter must be written twice"
        );
        let jobs = read_topic(broker().address(), &place.physical("jobs"));
        let mended = jobs.iter().filter(|job| job.value_text() == "16");
        for job in mended {
            let names: Vec<_> = job.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["trace"], "unchanged");
        }
    }
}

#[goka::stream("copies", value = Vec<u8>)]
struct Copies;

#[goka::processor(group = "blobs", input = Jobs, output(Copies), on_error(handler = dead_letter))]
fn blob(ctx: &mut blob::Context<'_>, size: i64) -> goka::Result {
    ctx.emit::<Copies>(ctx.key(), &b"first".to_vec())?;
    let size = usize::try_from(size).unwrap_or_default();
    ctx.emit::<Copies>(ctx.key(), &vec![7; size])
}

#[tokio::test]
async fn a_record_that_is_too_large_is_the_handlers_error() {
    for guarantee in guarantees() {
        let place =
            place(["10", "2000000", "999950", "30"].map(|size| Message::new("alice", size)));
        broker().create_topic(&place.physical("copies"), 4);
        let app = App::new(place.config().guarantee(guarantee)).processor(blob::Processor);
        let running = app.start().await.expect("the app starts");
        let letters = wait_for_records(place.physical("blobs-dead-letter"), 1).await;
        let copies = wait_for_records(place.physical("copies"), 6).await;
        end(running).await;
        assert_eq!(letters[0].value_text(), "2000000");
        let why = header(&letters[0], "goka-error");
        for part in [&place.physical("copies"), "message.max.bytes"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        let sizes: Vec<_> = copies
            .iter()
            .map(|copy| copy.value.as_ref().map_or(0, Vec::len))
            .collect();
        assert_eq!(sizes, [5, 10, 5, 999_950, 5, 30]);
    }
}

#[goka::processor(group = "once", input = Jobs, output(Log), guarantee = exactly_once)]
fn once(ctx: &mut once::Context<'_>, size: i64) -> goka::Result {
    ctx.emit::<Log>(ctx.key(), &size)
}

#[goka::processor(group = "least", input = Jobs, output(Copies), guarantee = at_least_once)]
fn least(ctx: &mut least::Context<'_>, size: i64) -> goka::Result {
    ctx.emit::<Copies>(ctx.key(), &size.to_string().into_bytes())
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_processor_may_have_a_guarantee_of_its_own() {
    // The embedded broker does not support exactly-once.
    needs_kafka();
    for of_app in guarantees() {
        let place = place((0..50).map(|n| Message::new(format!("key-{n}"), "1")));
        broker().create_topic(&place.physical("copies"), 4);
        let app = App::new(place.config().guarantee(of_app))
            .processor(once::Processor)
            .processor(least::Processor);
        let running = app.start().await.expect("the app starts");
        wait_for_records(place.physical("log"), 50).await;
        wait_for_records(place.physical("copies"), 50).await;
        end(running).await;
        // The marker of a transaction takes one offset in each partition that the transaction has written to.
        let offsets = |topic| broker().count_offsets(&place.physical(topic));
        assert!(offsets("log") > Some(50), "{:?}", offsets("log"));
        assert_eq!(offsets("copies"), Some(50));
    }
}
