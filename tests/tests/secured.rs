//! A Kafka with TLS and logins: all parts of goka work in both guarantees, wrong settings soon lead to clear errors,
//! and neither errors nor logs contain secrets. Needs a real Kafka, and the feature `tls`.

use std::{
    env,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use goka::{App, Config, Emitter, Error, Guarantee, View};
use goka_tests::{DEADLINE, Kafka, Program, kafka_tool, this_test, unique};
use tempfile::TempDir;
use tokio::time::timeout;

#[goka::stream("clicks", value = i64)]
struct Clicks;
#[goka::table(group = "counts", value = i64)]
struct Counts;

#[goka::processor(group = "counts", input = Clicks, table = Counts)]
fn count(ctx: &mut count::Context, clicks: i64) -> goka::Result {
    let counted = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(counted + clicks))
}

const PASSWORD: &str = "admin-hush-hush";
const WRONG: &str = "no-such-password";

/// How long connecting or giving up may take. This includes a reserve for busy machines.
const SOON: Duration = Duration::from_secs(15);

/// The Kafka that the tests share while they run at the same time. The last test to drop it stops it.
fn kafka() -> Arc<Kafka> {
    static KAFKA: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut shared = KAFKA.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kafka) = shared.upgrade() {
        return kafka;
    }
    let kafka = Arc::new(Kafka::start_secured());
    *shared = Arc::downgrade(&kafka);
    kafka
}

fn secured(address: &str, ca: &Path, mechanism: &str, password: &str) -> Config {
    Config::new()
        .brokers(address)
        .set("security.protocol", "sasl_ssl")
        .set("ssl.ca.location", ca.display().to_string())
        .set("sasl.mechanisms", mechanism)
        .set("sasl.username", "admin")
        .set("sasl.password", password)
}

/// Sends a record through all parts of goka: emitter, processor and view.
async fn work(config: &Config) {
    work_of([config, config, config], 111).await;
}

/// Does what [`work`] does, but with separate settings for emitter, processor and view.
async fn work_of([emitter, processor, view]: [&Config; 3], expected: i64) {
    let emitter = Emitter::<Clicks>::new(emitter).expect("the emitter connects");
    let app = App::new(processor.clone()).processor(count::Processor);
    let running = app.start().await.expect("the app starts");
    for clicks in [1, 10, 100] {
        let emitted = emitter
            .emit("alice", &clicks)
            .expect("the emitter accepts the message");
        emitted.await.expect("the record is written");
    }
    let view = View::<Counts>::open(view).await.expect("the view opens");
    timeout(DEADLINE, view.recovered())
        .await
        .expect("recovery ends in time")
        .expect("the view recovers");
    let mut watch = view.watch("alice");
    let counted = async {
        while watch.value().expect("the row can be read") != Some(expected) {
            watch.changed().await.expect("the view is open");
        }
    };
    timeout(DEADLINE, counted)
        .await
        .expect("all clicks are counted");
    view.close().await.expect("the view closes");
    running
        .shutdown()
        .await
        .expect("the app ends without an error");
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn all_parts_work_with_tls_and_a_login_in_both_guarantees() {
    let kafka = kafka();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let state = TempDir::new().expect("the temporary directory can be created");
            let config = secured(&kafka.secured(), &kafka.ca(), mechanism, PASSWORD)
                .prefix(unique("secured") + "-")
                .state_dir(state.path())
                .guarantee(guarantee)
                .create_stream("clicks", 2);
            work(&config).await;
        }
    }
}

/// Grants rights to a user. `things` are the options that select the resources, by names or by prefixes.
fn grant(kafka: &Kafka, user: &str, rights: &[&str], things: &[&str]) {
    let (broker, principal) = (kafka.broker(), format!("User:{user}"));
    let mut arguments = vec!["--bootstrap-server", broker.address(), "--add"];
    arguments.extend(["--allow-principal", &principal]);
    arguments.extend(rights.iter().flat_map(|right| ["--operation", right]));
    arguments.extend(things);
    kafka_tool("org.apache.kafka.tools.AclCommand", &arguments);
}

/// Checks the table of rights in docs/operating.md.
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn each_part_works_with_the_rights_that_are_documented() {
    let kafka = kafka();
    let prefix = unique("rights") + "-";
    let [clicks, table, group] =
        ["clicks", "counts-state", "counts"].map(|name| format!("{prefix}{name}"));
    kafka.broker().create_topic(&clicks, 2);
    let grant = |user, rights: &[&str], things: &[&str]| grant(&kafka, user, rights, things);
    grant("emitter", &["Write"], &["--topic", &clicks]);
    let reads = ["Read", "DescribeConfigs"];
    grant("processor", &reads, &["--topic", &clicks]);
    let owns = ["Read", "Write", "Create", "DescribeConfigs"];
    grant("processor", &owns, &["--topic", &table]);
    grant("processor", &["Read"], &["--group", &group]);
    grant("viewer", &reads, &["--topic", &table]);
    let state = TempDir::new().expect("the temporary directory can be created");
    let (address, ca) = (kafka.secured(), kafka.ca());
    let config = |user: &str, guarantee: Guarantee| {
        secured(&address, &ca, "PLAIN", &format!("{user}-hush-hush"))
            .set("sasl.username", user)
            .prefix(&prefix)
            .state_dir(state.path().join(format!("{user} {guarantee:?}")))
            .guarantee(guarantee)
    };
    let mut expected = 0;
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        if guarantee == Guarantee::ExactlyOnce {
            let app = App::new(config("processor", guarantee)).processor(count::Processor);
            let refused = match app.start().await {
                Ok(mut running) => timeout(DEADLINE, running.wait())
                    .await
                    .expect("the app ends in time"),
                Err(error) => Err(error),
            };
            let refused = refused
                .expect_err("the app must fail without the right")
                .to_string();
            assert!(refused.to_lowercase().contains("authoriz"), "{refused}");
            let transactions = format!("{group}-");
            let prefixed = ["--resource-pattern-type", "prefixed"];
            let things = [&["--transactional-id", &transactions][..], &prefixed].concat();
            grant("processor", &["Write"], &things);
        }
        let parts = ["emitter", "processor", "viewer"].map(|user| config(user, guarantee));
        expected += 111;
        work_of(parts.each_ref(), expected).await;
    }

    // A view of committed rows reads the offsets of the group.
    let viewer = config("viewer", Guarantee::AtLeastOnce);
    for (thing, name, named) in [
        ("--group", &group, "grant the ACL `Describe` on group"),
        ("--topic", &clicks, "grant the ACL `Describe` on each input"),
    ] {
        let refused = View::<Counts>::open_committed(&viewer).await;
        let refused = refused.expect_err("it needs its rights").to_string();
        assert!(refused.contains(named), "{refused}");
        grant("viewer", &["Describe"], &[thing, name]);
    }
    let view = View::<Counts>::open_committed(&viewer).await;
    let view = view.expect("it opens");
    timeout(DEADLINE, view.recovered())
        .await
        .expect("in time")
        .expect("it recovers");
    assert_eq!(view.get("alice").expect("it is read"), Some(expected));
}

/// The errors of an app, a view and an emitter with these wrong settings.
async fn refusals(config: Config) -> Vec<String> {
    let started = Instant::now();
    let app = App::new(config.clone()).processor(count::Processor);
    let emitter = config.clone();
    let emitter = tokio::task::spawn_blocking(move || Emitter::<Clicks>::new(&emitter));
    let (app, view, emitter) = tokio::join!(app.start(), View::<Counts>::open(&config), emitter);
    let errors = [
        app.map(drop)
            .expect_err("the app must refuse these settings"),
        view.map(drop)
            .expect_err("the view must refuse these settings"),
        emitter
            .expect("no panic")
            .map(drop)
            .expect_err("the emitter must refuse these settings"),
    ];
    let took = started.elapsed();
    assert!(took < SOON, "{errors:?} after {took:?}");
    let said = errors.iter().map(|error| {
        let sources = std::iter::successors(std::error::Error::source(error), |e| e.source());
        let sources: Vec<_> = sources.map(ToString::to_string).collect();
        // The text that a program finds if it matches on the error and prints its source.
        let cause = match error {
            Error::Kafka { source, .. } => format!("{source:?}"),
            _ => String::new(),
        };
        format!("{error} / {cause} / {sources:?}")
    });
    said.collect()
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn errors_of_wrong_settings_come_soon_and_contain_no_secrets() {
    let kafka = kafka();
    let (address, ca) = (kafka.secured(), kafka.ca());
    let state = TempDir::new().expect("the temporary directory can be created");
    let other = state.path().join("other.pem");
    make_other_ca(state.path(), &other);
    let with = |mechanism, ca, password| {
        let config = secured(&address, ca, mechanism, password);
        config.state_dir(state.path().join("state"))
    };
    let without_anything = Config::new()
        .brokers(&address)
        .state_dir(state.path().join("state"));
    let wrong = [
        (with("PLAIN", &ca, WRONG), "Authentication failed"),
        (with("SCRAM-SHA-256", &ca, WRONG), "Authentication failed"),
        (with("PLAIN", &other, PASSWORD), "certificate verify failed"),
        (without_anything, "security.protocol"),
    ];
    let refused = wrong.map(|(config, why)| (tokio::spawn(refusals(config)), why));
    for (refused, why) in refused {
        for said in refused.await.expect("all parts refuse in time") {
            assert!(said.contains(why), "{said}");
            assert!(!said.contains(WRONG) && !said.contains(PASSWORD), "{said}");
        }
    }
}

/// Creates a certificate authority with keytool, which comes with Java.
fn make_other_ca(directory: &Path, certificate: &Path) {
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments);
        command.args(["-alias", "ca", "-storetype", "PKCS12"]);
        command.args(["-storepass", "changeit", "-keystore"]);
        let made = command.arg(directory.join("other.p12")).output();
        let made = made.unwrap_or_else(|error| panic!("cannot run keytool: {error}"));
        assert!(made.status.success(), "{made:?}");
    };
    keytool(&[
        "-genkeypair",
        "-keyalg",
        "EC",
        "-dname",
        "CN=other",
        "-ext",
        "bc:critical=ca:true",
    ]);
    let file = certificate.to_str().expect("the path must be UTF-8");
    keytool(&["-exportcert", "-rfc", "-file", file]);
}

/// The process of the test below: it does everything that can be logged, with the most verbose log levels.
async fn log_everything() {
    let variable = |name| env::var(name).expect("the starting test sets this variable");
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    log.with_writer(std::io::stderr).init();
    let config = |password| {
        secured(
            &variable("SECURED_BROKERS"),
            Path::new(&variable("SECURED_CA")),
            "PLAIN",
            password,
        )
        .prefix(variable("SECURED_PREFIX"))
        .state_dir(variable("SECURED_STATE"))
        .set("debug", "all")
        .create_stream("clicks", 2)
    };
    println!("settings: {:?}", config(PASSWORD));
    work(&config(PASSWORD)).await;
    for said in refusals(config(WRONG)).await {
        println!("refused: {said}");
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn nothing_that_is_printed_has_a_secret_in_it() {
    if env::var_os("SECURED_BROKERS").is_some() {
        return log_everything().await;
    }
    let kafka = kafka();
    let state = TempDir::new().expect("the temporary directory can be created");
    let mut command = this_test("nothing_that_is_printed_has_a_secret_in_it");
    command
        .env("SECURED_BROKERS", kafka.secured())
        .env("SECURED_CA", kafka.ca())
        .env("SECURED_PREFIX", unique("logged") + "-")
        .env("SECURED_STATE", state.path());
    let mut program = Program::run(command);
    program.succeed();
    let output = program.output();
    for said in [
        "settings: ",
        "refused: ",
        "sasl.password",
        "SASL",
        "Authentication failed",
    ] {
        assert!(output.contains(said), "the program did not print `{said}`");
    }
    // The secrets as plain text, and the beginning of the message in which the mechanism PLAIN sends a login.
    for secret in [PASSWORD, WRONG, "\0admin"] {
        let line = output.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
