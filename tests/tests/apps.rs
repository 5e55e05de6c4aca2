//! Runs the example applications of several programs as users run them, with each part in a process of its own. Checks
//! them with a plain Kafka client, a plain HTTP client, and models of a few lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use goka_tests::{
    Application, Kafka, Message, Program, broker, count_by_key, example,
    http::{Answer, get, get_until, request},
    last_values, produce, read_topic, read_until,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Starts an emitter, and waits until its stream exists.
fn emitter(application: &Application, program: &str, arguments: &[&str]) -> Program {
    let arguments = [&["emitter"], arguments].concat();
    let mut emitter = application.start(program, &arguments, "emitter");
    emitter.wait_for("acknowledged messages", |line| {
        line.contains("messages acknowledged").then_some(())
    });
    emitter
}

/// The number of clicks of each user, computed from the stream of clicks.
fn clicks(application: &Application) -> BTreeMap<String, i64> {
    let clicks = read_topic(application.address(), &application.physical("user-clicks"));
    count_by_key(&clicks)
}

/// Writes one click for each of many new users. Once these clicks are counted, all earlier clicks are counted in every
/// partition.
fn click_for_the_last_time(application: &Application) {
    let user = |n| format!("last-{n}");
    let last = (0..64).map(|n| Message::new(user(n), "now"));
    let topic = application.physical("user-clicks");
    produce(application.address(), &topic, last);
    let mut missing: BTreeSet<String> = (0..64).map(user).collect();
    let topic = application.physical("click-count-state");
    read_until(application.address(), &topic, |row| {
        missing.remove(row.key_text());
        missing.is_empty()
    });
}

/// The table of counts, read with a plain client.
fn table(application: &Application) -> BTreeMap<String, i64> {
    let topic = application.physical("click-count-state");
    let rows = last_values(&read_topic(application.address(), &topic)).into_iter();
    rows.map(|(user, clicks)| (user, clicks.parse().expect("the row must be a number")))
        .collect()
}

/// The last status of each user and the time of this status, computed from the stream of statuses.
fn statuses(application: &Application) -> BTreeMap<String, (String, String)> {
    #[derive(Deserialize)]
    struct Update {
        status: String,
    }
    let topic = application.physical("user-status-updates");
    let mut last = BTreeMap::new();
    for record in read_topic(application.address(), &topic) {
        let value = record.value.as_deref().expect("the value must be a status");
        let Update { status } = rmp_serde::from_slice(value).expect("MessagePack");
        let at = u64::try_from(record.timestamp.expect("the record must have a time"))
            .expect("the clock must be after 1970");
        let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at));
        let (before, since): &mut (String, String) =
            last.entry(record.key_text().to_owned()).or_default();
        if *before != status {
            (*before, *since) = (status, at.to_string());
        }
    }
    last
}

/// The body that `GET /clicks` should answer with for these counts.
fn listed(clicks: impl IntoIterator<Item = (String, i64)>) -> Value {
    let users = clicks.into_iter();
    users
        .map(|(user, clicks)| json!({ "user": user, "clicks": clicks }))
        .collect()
}

fn assert_refused(answer: &Answer, status: u16, with: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.content_type, "application/json", "{answer:?}");
    let error = answer.body["error"].as_str();
    assert!(
        error.is_some_and(|error| error.contains(with)),
        "{answer:?}"
    );
}

#[test]
fn separate_programs_end_with_what_an_independent_count_finds() {
    let mut apps = Application::on(broker(), "composed");
    if broker().is_kafka() {
        // Under exactly-once, a kill does not repeat outputs either.
        apps.set("GOKA_GUARANTEE", "exactly_once");
    }
    let load = ["--rate", "600", "--messages", "3000", "--users", "40"];
    let mut clicking = emitter(&apps, "click_count", &load);
    let mut changing = emitter(&apps, "user_status", &load);
    let mut counting = apps.processor("click_count", "processor");
    let _remembering = {
        let mut remembering = apps.start("user_status", &["processor"], "remembering");
        remembering.wait_for("partitions", |line| {
            line.contains("4 of 4 partitions run here").then_some(())
        });
        remembering
    };
    let replicas = |program: &str| {
        [1, 2].map(|n| apps.service(program, &["service"], &format!("{program}-{n}")))
    };
    let (counts, users) = (replicas("click_count"), replicas("user_status"));

    // Kill the processor while it counts, but not on the embedded broker, where a rebalance repeats records.
    if broker().is_kafka() {
        let mut rows = 0;
        read_until(apps.address(), &apps.physical("click-count-state"), |_| {
            rows += 1;
            rows >= 1_000
        });
        counting.kill();
        counting = apps.processor("click_count", "processor");
    }
    clicking.succeed();
    changing.succeed();

    click_for_the_last_time(&apps);
    let (clicks, statuses) = (clicks(&apps), statuses(&apps));
    assert_eq!(clicks.values().sum::<i64>(), 3_064);
    assert_eq!(table(&apps), clicks);
    let all = listed(clicks.clone());
    for (_program, address) in &counts {
        get_until(address, "/clicks?limit=1000", |answer| answer.body == all);
        let some = clicks.clone().into_iter();
        let some = some.filter(|(user, _)| user.starts_with("user-1"));
        let answer = get(address, "/clicks?prefix=user-1&limit=3");
        assert_eq!(answer.body, listed(some.take(3)));
        for (user, clicks) in &clicks {
            let answer = get(address, &format!("/clicks/{user}"));
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, json!({ "user": user, "clicks": clicks }));
        }
    }
    for (_program, address) in &users {
        for user in clicks.keys().chain(statuses.keys()) {
            let (status, since) = statuses.get(user).cloned().unzip();
            let clicks = clicks.get(user).unwrap_or(&0);
            let known = json!({ "user": user, "status": status, "since": since, "clicks": clicks });
            get_until(address, &format!("/users/{user}"), |answer| {
                answer.body == known
            });
        }
        get_until(address, "/readyz", |answer| answer.status == 200);
        assert_refused(&get(address, "/users/nobody"), 404, "`nobody`");
    }
    let [(_, address), _] = &counts;
    assert_refused(&get(address, "/clicks/nobody"), 404, "`nobody`");
    for (bad, cure) in [
        ("/clicks?limit=many", "limit"),
        ("/clicks?limit=0", "between 1 and 1000"),
        ("/clicks?limit=1001", "between 1 and 1000"),
        ("/clicks?limit=-1", "limit"),
        ("/clicks?limits=1", "expected `prefix` or `limit`"),
        ("/clicks/%ff", "UTF-8"),
    ] {
        assert_refused(&get(address, bad), 400, cure);
    }
    assert_refused(&get(address, "/nothing"), 404, "no such path");
    let posted = request("POST", address, "/clicks", Some(&json!({})));
    assert_refused(&posted, 405, "does not support this method");
    for (mut service, _) in counts.into_iter().chain(users) {
        service.interrupt();
        service.succeed();
    }
    counting.interrupt();
    counting.succeed();
}

#[test]
#[ignore = "needs a real Kafka"]
fn without_a_broker_a_service_is_not_ready_but_answers() {
    let kafka = Kafka::start();
    let broker = kafka.broker();
    let apps = Application::on(&broker, "ready");
    broker.create_topic(&apps.physical("user-clicks"), 4);
    let click = |times| {
        let clicks = (0..times).map(|_| Message::new("alice", "now"));
        produce(apps.address(), &apps.physical("user-clicks"), clicks);
    };
    click(3);
    let _counting = apps.processor("click_count", "processor");
    let (mut service, address) = apps.service("click_count", &["service"], "service");
    get_until(&address, "/readyz", |answer| answer.status == 200);
    let clicked = |clicks| {
        let known = json!({ "user": "alice", "clicks": clicks });
        move |answer: &Answer| answer.body == known
    };
    get_until(&address, "/clicks/alice", clicked(3));

    kafka.stop();
    let unready = get_until(&address, "/readyz", |answer| answer.status != 200);
    assert_refused(&unready, 503, "click-count-state");
    assert!(clicked(3)(&get(&address, "/clicks/alice")));
    assert_eq!(get(&address, "/clicks/bob").status, 404);
    // The service must keep running during the outage: a restarted service could not begin without the broker.
    assert_eq!(get(&address, "/healthz").status, 200);

    kafka.start_again();
    get_until(&address, "/readyz", |answer| answer.status == 200);
    click(2);
    get_until(&address, "/clicks/alice", clicked(5));
    service.terminate();
    service.succeed();
}

#[test]
fn a_service_says_that_its_table_is_missing_or_its_address_is_taken() {
    let apps = Application::on(broker(), "refused");
    if broker().is_kafka() {
        let mut service = apps.start("user_status", &["service"], "service");
        assert!(!service.wait().success());
        let output = service.output();
        for part in [
            &apps.physical("user-status-state"),
            "start that processor first",
        ] {
            assert!(
                output.contains(part),
                "the text must contain `{part}`: {output}"
            );
        }
    }
    let (_first, address) = apps.service("embed", &[], "first");
    let taken = address.trim_start_matches("http://");
    let mut second = apps.start("embed", &["--http", taken], "second");
    assert!(!second.wait().success());
    let output = second.output();
    assert!(
        output.contains("choose another address with --http"),
        "{output}"
    );
}

#[test]
fn a_click_is_answered_when_it_is_in_the_stream() {
    let apps = Application::on(broker(), "embed");
    let (mut server, address) = apps.service("embed", &[], "server");
    for n in 0..10 {
        let user = format!("user-{n}");
        let answer = request("POST", &address, &format!("/clicks/{user}"), None);
        assert_eq!(answer.status, 201, "{answer:?}");
        let clicks = read_topic(apps.address(), &apps.physical("user-clicks"));
        let at = |name| {
            answer.body[name]
                .as_i64()
                .expect("the value must be a number")
        };
        let found = clicks.iter().find(|click| {
            i64::from(click.partition) == at("partition") && click.offset == at("offset")
        });
        assert_eq!(found.map(|click| click.key_text()), Some(&*user));
    }
    assert_refused(
        &get(&address, "/clicks/alice"),
        405,
        "does not support this method",
    );
    assert_refused(
        &request("POST", &address, "/clicks/%ff", None),
        400,
        "UTF-8",
    );
    server.interrupt();
    server.succeed();
}

/// Starts an example without a role argument, so that all its parts run in one process, on its embedded broker.
fn together(program: &str) -> (Program, String) {
    let mut command = Command::new(example(program));
    for variable in [
        "GOKA_BROKERS",
        "GOKA_STATE_DIR",
        "GOKA_PREFIX",
        "GOKA_WORKERS",
    ] {
        command.env_remove(variable);
    }
    let mut running = Program::run(command);
    let address = running.wait_for("address", |line| {
        line.starts_with("http://").then(|| line.to_owned())
    });
    (running, address)
}

#[test]
fn all_parts_run_in_one_process_with_no_kafka_at_hand() {
    let is_known = |answer: &Answer| answer.status == 200;
    let (click_count, address) = together("click_count");
    get_until(&address, "/clicks/user-1", is_known);
    let (user_status, address) = together("user_status");
    get_until(&address, "/users/user-1", |answer| {
        answer.body["status"].is_string() && answer.body["clicks"].as_u64() > Some(0)
    });
    let (messaging, address) = together("messaging");
    let letter = json!({ "to": "bob", "content": "hi" });
    request("POST", &address, "/users/alice/messages", Some(&letter));
    get_until(&address, "/users/bob/feed", is_known);
    for mut program in [click_count, user_status, messaging] {
        program.interrupt();
        program.succeed();
    }
}
