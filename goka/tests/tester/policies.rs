//! Records that cannot be processed: each policy at each stage, under both guarantees, and in virtual time. The
//! expected values are written by hand.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use goka::{BoxError, Context, DeadLetter, Deferred, Guarantee, Headers, Meta, Tester};

/// Jobs; the value is the size of the job. Text that is not a number does not decode.
#[goka::stream("jobs", value = i64)]
struct Jobs;
#[goka::stream("jobs", value = String)]
struct AnyJobs;
#[goka::table(value = i64)]
struct Done;
#[goka::stream("log", value = String)]
struct Log;

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
const STAGES: [(&str, &str); 3] = [("decode", "x"), ("handler", "13"), ("panic", "666")];

/// Adds up sizes, and writes a row and a message. After that, the size 13 causes an error, and the size 666 a panic.
fn work<P>(ctx: &mut Context<'_, P>, size: i64) -> Result<(), BoxError>
where
    P: goka::Processor<Key = String> + goka::graph::Persists<Done> + goka::graph::Emits<Log>,
{
    let done = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(done + size))?;
    ctx.emit::<Log>(ctx.key(), &format!("did {size}"))?;
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

#[test]
fn fail_ends_the_processor_and_commits_nothing_past_the_record() {
    for guarantee in BOTH {
        for (stage, bad) in STAGES {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(fails::Processor);
            tester.emit::<AnyJobs>("alice", &"1".to_owned());
            tester.emit::<AnyJobs>("alice", &bad.to_owned());
            tester.emit::<AnyJobs>("alice", &"2".to_owned());
            let error = tester.run().expect_err("the handler fails").to_string();
            assert!(error.contains("offset 1, key `alice`"), "{stage}: {error}");
            assert_eq!(tester.lag::<fails::Processor>(), 2, "{stage}");
            assert_eq!(tester.get::<Done>("alice"), Some(1), "{stage}");
        }
    }
}

#[goka::processor(group = "skips", input = Jobs, table = Done, output(Log), on_error = skip)]
fn skips(ctx: &mut skips::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[test]
fn skip_passes_over_the_record_and_all_it_did() {
    for guarantee in BOTH {
        for (stage, bad) in STAGES {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(skips::Processor);
            for size in ["1", bad, "2"] {
                tester.emit::<AnyJobs>("alice", &size.to_owned());
            }
            assert_eq!(tester.get::<Done>("alice"), Some(3), "{stage}");
            let log = tester.emitted::<Log>();
            let log: Vec<_> = log.iter().map(|line| line.value.as_str()).collect();
            assert_eq!(log, ["did 1", "did 2"], "{stage}");
            assert_eq!(tester.lag::<skips::Processor>(), 0, "{stage}");
        }
    }
}

/// For the size 13, the handler returns an error that comes from an `Emitter` or a `View` of its own.
struct Uses {
    fails: fn() -> goka::Error,
    attempts: Arc<AtomicU32>,
}

#[goka::processor(group = "uses", table = Done, output(Log), on_error = retry(2, then = skip))]
impl Uses {
    #[input(Jobs)]
    fn work(&self, ctx: &mut Context<'_, Self>, size: i64) -> goka::Result {
        let done = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(done + size))?;
        if size == 13 {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            return Err((self.fails)());
        }
        Ok(())
    }
}

#[test]
fn an_error_of_goka_that_a_handler_got_from_elsewhere_is_the_handlers() {
    use goka::Error;
    let errors: [fn() -> Error; 5] = [
        || Error::Kafka {
            doing: "emit".to_owned(),
            source: "all brokers are down".into(),
        },
        || Error::Topic("topic `log` does not exist".to_owned()),
        || Error::NoRoom {
            path: "state".into(),
            problem: "the disk is full".to_owned(),
        },
        || Error::Closed("the emitter"),
        || Error::Stale {
            topic: "prices-state".to_owned(),
            reason: "it was deleted".to_owned(),
        },
    ];
    for guarantee in BOTH {
        for fails in errors {
            let attempts = Arc::new(AtomicU32::new(0));
            let uses = Uses {
                fails,
                attempts: attempts.clone(),
            };
            let mut tester = Tester::new().guarantee(guarantee).processor(uses);
            for size in [1, 13, 2] {
                tester.emit::<Jobs>("alice", &size);
            }
            let error = fails();
            assert_eq!(tester.get::<Done>("alice"), Some(3), "{error}");
            assert_eq!(attempts.load(Ordering::Relaxed), 3, "{error}");
            assert_eq!(tester.lag::<Uses>(), 0, "{error}");
        }
    }
}

#[goka::processor(group = "keeps", input = Jobs, table = Done, output(Log), on_error = dead_letter)]
fn keeps(ctx: &mut keeps::Context<'_>, size: i64) -> Result<(), BoxError> {
    work(ctx, size)
}

#[goka::stream("keeps-dead-letter", value = String)]
struct Kept;

#[test]
fn a_dead_letter_is_the_record_as_it_came_and_says_where_from_and_why() {
    for guarantee in BOTH {
        for (stage, bad) in STAGES {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(keeps::Processor);
            tester.emit::<AnyJobs>("alice", &"1".to_owned());
            let meta = Meta::new().header("trace", "7");
            tester.emit_with::<AnyJobs>("alice", &bad.to_owned(), meta);
            tester.emit::<AnyJobs>("alice", &"2".to_owned());
            assert_eq!(tester.get::<Done>("alice"), Some(3), "{stage}");
            assert_eq!(tester.emitted::<Log>().len(), 2, "{stage}");
            let kept = tester.emitted::<Kept>();
            let [letter] = &kept[..] else {
                panic!("{stage}: {kept:?}");
            };
            assert_eq!((letter.key.as_str(), letter.value.as_str()), ("alice", bad));
            let text = |name: &str| {
                let value = letter.header(name).map(<[u8]>::to_vec);
                String::from_utf8(value.unwrap_or_default()).expect("text")
            };
            assert_eq!(text("trace"), "7");
            assert_eq!(text("goka-topic"), "jobs");
            assert_eq!(text("goka-partition"), letter.partition.to_string());
            assert_eq!(text("goka-offset"), "1");
            assert_eq!(text("goka-group"), "keeps");
            assert_eq!(text("goka-handler"), "keeps");
            assert_eq!(text("goka-stage"), stage);
            let why = match stage {
                "decode" => "cannot decode the value: invalid digit",
                "handler" => "13 is unlucky",
                _ => "the handler panicked: 666 is too much",
            };
            assert!(text("goka-error").contains(why), "{}", text("goka-error"));
        }
    }
}

#[test]
fn a_key_that_does_not_decode_is_kept_too() {
    #[goka::stream("readings", key = u64, value = String)]
    struct Readings;
    #[goka::stream("readings", value = String)]
    struct AnyReadings;
    #[goka::stream("meters-dead-letter", value = String)]
    struct Kept;
    #[goka::processor(group = "meters", input = Readings, key = u64, output(Log), on_error(decode = dead_letter))]
    fn meter(ctx: &mut meter::Context<'_>, reading: String) -> goka::Result {
        ctx.emit::<Log>("meter", &reading)
    }
    let mut tester = Tester::new().processor(meter::Processor);
    tester.emit::<AnyReadings>("no number", &"7".to_owned());
    tester.emit::<Readings>(&4, &"8".to_owned());
    let log = tester.emitted::<Log>();
    assert_eq!(log.len(), 1);
    let kept = tester.emitted::<Kept>();
    assert_eq!((kept.len(), kept[0].key.as_str()), (1, "no number"));
}

/// Fails a given number of times before it succeeds.
#[derive(Clone, Default)]
struct Flaky {
    failures_left: Arc<AtomicU32>,
    attempts: Arc<AtomicU32>,
    /// The keys of the records that were processed, in the order of processing.
    worked: Arc<Mutex<Vec<String>>>,
}

impl Flaky {
    fn fails(times: u32) -> Self {
        let flaky = Flaky::default();
        flaky.failures_left.store(times, Ordering::Relaxed);
        flaky
    }

    fn attempt(&self) -> Result<(), BoxError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let one_less = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match self.failures_left.fetch_update(order, order, one_less) {
            Ok(2) => panic!("the second but last time it panics"),
            Ok(_) => Err("not now".into()),
            Err(_) => Ok(()),
        }
    }
}

#[goka::processor(group = "flaky", table = Done, output(Log))]
impl Flaky {
    #[input(Jobs, on_error = retry(3, then = dead_letter("flaky-gave-up")))]
    fn work(&self, ctx: &mut Context<'_, Self>, size: i64) -> Result<(), BoxError> {
        let done = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(done + size))?;
        ctx.emit::<Log>(ctx.key(), &format!("did {size}"))?;
        if size == 7 {
            self.attempt()?;
        }
        let mut worked = self
            .worked
            .lock()
            .expect("no thread panicked while it held the lock");
        worked.push(ctx.key().to_owned());
        Ok(())
    }
}

#[goka::stream("flaky-gave-up", value = i64)]
struct GaveUp;

#[test]
fn a_retry_does_it_once_and_in_order() {
    for guarantee in BOTH {
        for failures in 0..=3 {
            let flaky = Flaky::fails(failures);
            let mut tester = Tester::new().guarantee(guarantee).processor(flaky.clone());
            let before = tester.now();
            for size in [1, 7, 2] {
                tester.emit::<Jobs>("alice", &size);
            }
            assert_eq!(tester.get::<Done>("alice"), Some(10));
            let log = tester.emitted::<Log>();
            let log: Vec<_> = log.iter().map(|line| line.value.as_str()).collect();
            assert_eq!(log, ["did 1", "did 7", "did 2"], "{failures}");
            assert_eq!(flaky.attempts.load(Ordering::Relaxed), failures + 1);
            assert_eq!(tester.emitted::<GaveUp>(), []);
            let waited = [0, 100, 300, 700][failures as usize];
            let took = tester.now().duration_since(before).expect("later");
            assert!(took >= Duration::from_millis(waited), "{took:?}");
        }
    }
}

#[test]
fn after_the_last_retry_it_is_given_up() {
    for guarantee in BOTH {
        let flaky = Flaky::fails(4);
        let mut tester = Tester::new().guarantee(guarantee).processor(flaky.clone());
        for size in [1, 7, 2] {
            tester.emit::<Jobs>("alice", &size);
        }
        assert_eq!(tester.get::<Done>("alice"), Some(3));
        assert_eq!(flaky.attempts.load(Ordering::Relaxed), 4);
        let given_up = tester.emitted::<GaveUp>();
        assert_eq!((given_up.len(), given_up[0].value), (1, 7));
    }
}

#[test]
fn a_retry_holds_up_its_own_partition_only() {
    const MANY: usize = 2_000;
    let flaky = Flaky::fails(3);
    let mut tester = Tester::new().processor(flaky.clone());
    let to = |partition| Meta::new().to_partition(partition);
    tester.emit_with::<Jobs>("stuck", &7, to(0));
    for _ in 0..MANY {
        tester.emit_with::<Jobs>("free", &1, to(1));
        tester.emit_with::<Jobs>("behind", &1, to(0));
    }
    // The record is tried at 0, 100, 300 and 700 ms, so that at 500 ms it still waits for its last attempt.
    tester.advance(Duration::from_millis(500));
    let worked = flaky
        .worked
        .lock()
        .expect("no thread panicked while it held the lock")
        .clone();
    assert_eq!(worked, vec!["free"; MANY]);
    tester.run().expect("no handler fails");
    let worked = flaky
        .worked
        .lock()
        .expect("no thread panicked while it held the lock")
        .clone();
    assert_eq!(worked[MANY], "stuck");
    assert_eq!(worked[MANY + 1..], vec!["behind"; MANY]);
    assert_eq!(flaky.attempts.load(Ordering::Relaxed), 4);
}

#[test]
fn a_crash_in_the_middle_of_retries_loses_nothing() {
    for guarantee in BOTH {
        let flaky = Flaky::fails(3);
        let mut tester = Tester::new().guarantee(guarantee).processor(flaky.clone());
        for size in [1, 7, 2] {
            tester.emit::<Jobs>("alice", &size);
        }
        tester.advance(Duration::from_millis(250));
        let tried = flaky.attempts.load(Ordering::Relaxed);
        assert!((1..4).contains(&tried), "{tried}");
        tester.crash::<Flaky>();
        assert_eq!(tester.get::<Done>("alice"), Some(10));
        assert_eq!(tester.emitted::<GaveUp>(), []);
    }
}

#[test]
fn a_partition_that_moves_in_the_middle_of_retries_loses_nothing() {
    for guarantee in BOTH {
        let flaky = Flaky::fails(3);
        let mut tester = Tester::new().guarantee(guarantee).processor(flaky.clone());
        for user in 0..20 {
            for size in [1, 7, 2] {
                tester.emit::<Jobs>(&format!("user {user}"), &size);
            }
        }
        tester.advance(Duration::from_millis(150));
        tester.start_instance::<Flaky>();
        for user in 0..20 {
            let done = tester.get::<Done>(&format!("user {user}"));
            assert_eq!(done, Some(10), "user {user}");
        }
    }
}

#[derive(Clone, Default)]
struct Waits(Flaky);

#[goka::processor(group = "waits", table = Done, on_error = retry(2, backoff_ms = 1_000, then = skip))]
impl Waits {
    #[input(Jobs)]
    async fn work(&self, ctx: &mut Context<'_, Self>, size: i64) -> Result<(), BoxError> {
        let done = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(done + size))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        match size {
            7 => self.0.attempt(),
            _ => Ok(()),
        }
    }
}

#[test]
fn handlers_that_wait_are_tried_again() {
    for (failures, expected) in [(0, 10), (1, 10), (2, 10), (3, 3)] {
        let waits = Waits(Flaky::fails(failures));
        let mut tester = Tester::new().processor(waits);
        for size in [1, 7, 2] {
            tester.emit::<Jobs>("alice", &size);
        }
        assert_eq!(tester.get::<Done>("alice"), Some(expected), "{failures}");
    }
}

/// Defers every job.
#[derive(Clone, Default)]
struct Defers {
    guards: Arc<Mutex<Vec<(i64, Deferred)>>>,
}

#[goka::processor(group = "defers", table = Done, output(Log))]
impl Defers {
    #[input(Jobs, on_error = retry(1, then = dead_letter))]
    fn work(&self, ctx: &mut Context<'_, Self>, size: i64) -> goka::Result {
        let done = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(done + size))?;
        ctx.emit::<Log>(ctx.key(), &format!("did {size}"))?;
        self.guards
            .lock()
            .expect("no thread panicked while it held the lock")
            .push((size, ctx.defer()));
        Ok(())
    }
}

#[goka::stream("defers-dead-letter", value = i64)]
struct NotDone;

#[test]
fn a_deferred_record_that_fails_takes_what_is_behind_it_back() {
    let defers = Defers::default();
    let mut tester = Tester::new().processor(defers.clone());
    for size in [1, 7, 2] {
        tester.emit::<Jobs>("alice", &size);
    }
    let mut handled = Vec::new();
    for _ in 0..400 {
        tester.advance(Duration::from_millis(10));
        for (size, guard) in defers
            .guards
            .lock()
            .expect("no thread panicked while it held the lock")
            .drain(..)
        {
            handled.push(size);
            match size {
                7 => guard.fail("the other system is away"),
                _ => guard.done(),
            }
        }
    }
    assert_eq!(tester.get::<Done>("alice"), Some(3));
    let log = tester.emitted::<Log>();
    let log: Vec<_> = log.iter().map(|line| line.value.as_str()).collect();
    assert_eq!(log, ["did 1", "did 2"]);
    assert_eq!(handled.iter().filter(|size| **size == 7).count(), 2);
    let letters = tester.emitted::<NotDone>();
    assert_eq!((letters.len(), letters[0].value), (1, 7));
    let why = letters[0]
        .header("goka-error")
        .expect("the dead letter names the error");
    assert!(String::from_utf8_lossy(why).contains("the other system is away"));
}

/// The argument of a visit that takes points from all users. The visit of a user with too few points fails.
#[derive(Clone)]
struct Take(i64);

struct Points(Flaky);

#[goka::processor(group = "points", table = Done)]
impl Points {
    #[input(Jobs)]
    fn add(&self, ctx: &mut Context<'_, Self>, points: i64) -> goka::Result {
        ctx.set_value(&points)
    }
    #[visitor(on_error(handler = skip, panic = retry(3, then = skip)))]
    fn take(&self, ctx: &mut Context<'_, Self>, take: Take) -> Result<(), BoxError> {
        let before = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(before - take.0))?;
        if before < take.0 {
            return Err("not enough".into());
        }
        if before == 100 {
            self.0.attempt()?;
        }
        Ok(())
    }
}

#[test]
fn a_visitor_skips_rows_and_tries_them_again() {
    let flaky = Flaky::fails(0);
    let mut tester = Tester::new().processor(Points(flaky.clone()));
    for (user, points) in [("alice", 5), ("bob", 100), ("carol", 1)] {
        tester.emit::<Jobs>(user, &points);
    }
    flaky.failures_left.store(2, Ordering::Relaxed);
    tester.run().expect("no handler fails");
    // The first failure is a panic, after which the row is tried again. The second is an error, which skips the row.
    let visited = tester.visit(Take(2)).expect("the visit completes");
    assert_eq!(visited, 3);
    assert_eq!(tester.get::<Done>("alice"), Some(3));
    assert_eq!(tester.get::<Done>("bob"), Some(100));
    assert_eq!(tester.get::<Done>("carol"), Some(1));
    let visited = tester.visit(Take(2)).expect("the visit completes");
    assert_eq!(visited, 3);
    assert_eq!(tester.get::<Done>("bob"), Some(98));
}

#[test]
fn a_record_too_large_to_be_written_is_its_handlers_error() {
    #[goka::stream("blobs", value = i64)]
    struct Blobs;
    #[goka::stream("copies", value = Vec<u8>)]
    struct Copies;
    #[goka::stream("blobs-dead-letter", value = i64)]
    struct TooLarge;
    #[goka::table(value = i64)]
    struct Sizes;
    #[goka::processor(group = "blobs", input = Blobs, table = Sizes, output(Copies), on_error(handler = dead_letter))]
    fn blob(ctx: &mut blob::Context<'_>, size: i64) -> goka::Result {
        ctx.set_value(&size)?;
        ctx.emit::<Copies>(ctx.key(), &vec![0; 10])?;
        ctx.emit::<Copies>(ctx.key(), &vec![0; usize::try_from(size).unwrap_or(0)])
    }
    let mut tester = Tester::new().processor(blob::Processor);
    for size in [1_000, 2_000_000, 3_000] {
        tester.emit::<Blobs>("alice", &size);
    }
    assert_eq!(tester.get::<Sizes>("alice"), Some(3_000));
    assert_eq!(
        tester.emitted::<Copies>().len(),
        4,
        "a record that fails must have no effects"
    );
    let letters = tester.emitted::<TooLarge>();
    assert_eq!((letters.len(), letters[0].value), (1, 2_000_000));
    let why = letters[0]
        .header("goka-error")
        .expect("the dead letter names the error");
    let why = String::from_utf8_lossy(why);
    for part in [
        "`copies`",
        "2000041 bytes",
        "message.max.bytes",
        "max.message.bytes",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

/// Repairs dead letters: text that is not a number becomes the number 1.
#[goka::processor(group = "mend", input = Kept, output(AnyJobs))]
fn mend(ctx: &mut mend::Context<'_>, job: String) -> goka::Result {
    let Some(letter) = DeadLetter::of(ctx.headers()) else {
        return Ok(());
    };
    assert_eq!((letter.topic, letter.group), ("jobs", "keeps"));
    let mended = job.parse::<i64>().map_or(1, |size| size - 1);
    ctx.emit_with::<AnyJobs>(ctx.key(), &mended.to_string(), letter.meta())
}

#[test]
fn mended_and_written_again_dead_letters_make_the_table_right() {
    for guarantee in BOTH {
        let mut tester = Tester::new()
            .guarantee(guarantee)
            .processor(keeps::Processor)
            .processor(mend::Processor);
        for user in 0..10 {
            for size in ["1", "x", "13", "666", "2"] {
                let meta = Meta::new().header("trace", "7");
                tester.emit_with::<AnyJobs>(&format!("user {user}"), &size.to_owned(), meta);
            }
        }
        for user in 0..10 {
            let done = tester.get::<Done>(&format!("user {user}"));
            assert_eq!(done, Some(1 + 2 + 1 + 12 + 665), "user {user}");
        }
        assert_eq!(tester.emitted::<Kept>().len(), 30);
    }
}

#[test]
fn headers_without_a_dead_letters_are_none() {
    assert!(DeadLetter::of(Headers::default()).is_none());
}

#[goka::stream("ratios", value = f64, codec = Json)]
struct Ratios;
#[goka::table(value = f64, codec = Json)]
struct Ratio;

/// Divides by numbers that it reads from the input; some results are not numbers.
#[goka::processor(group = "divides", input = Jobs, table = Ratio, output(Ratios), on_error = skip)]
fn divides(ctx: &mut divides::Context<'_>, by: i64) -> goka::Result {
    let ratio = 0.0 / by as f64;
    match by {
        0 => ctx.emit::<Ratios>(ctx.key(), &ratio),
        _ => ctx.set_value(&(ratio / (by - 1) as f64)),
    }
}

#[test]
fn a_value_that_json_cannot_give_back_is_its_handlers_error() {
    for guarantee in BOTH {
        let mut tester = Tester::new()
            .guarantee(guarantee)
            .processor(divides::Processor);
        for by in [2, 0, 1] {
            tester.emit::<Jobs>("alice", &by);
        }
        tester.run().expect("the policy skips both records");
        assert_eq!(tester.lag::<divides::Processor>(), 0);
        assert_eq!(tester.get::<Ratio>("alice"), Some(0.0), "{guarantee:?}");
        assert_eq!(tester.emitted::<Ratios>().len(), 0);
    }
}
