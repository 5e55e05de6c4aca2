//! Runs the example `messaging` as separate programs, and compares the received messages with a model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use goka_tests::{
    Application, DEADLINE, Program, Record, broker,
    http::{get, get_until, request},
    read_topic, read_until,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde::Deserialize;
use serde_json::{Value, json};

const USERS: [&str; 8] = ["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"];
const BLOCKED: [&str; 2] = ["dan", "eve"];
const TRANSLATIONS: [(&str, &str); 2] = [("durn", "darn"), ("ouch!", "hello")];
/// The number of messages that the example keeps in a row.
const KEPT: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Message {
    from: String,
    to: String,
    content: String,
}

impl Message {
    fn of(record: &Record) -> Message {
        let value = record
            .value
            .as_deref()
            .expect("the value must be a message in JSON");
        rmp_serde::from_slice(value).expect("MessagePack")
    }

    fn shown(&self) -> Value {
        json!({ "from": self.from, "to": self.to, "content": self.content })
    }
}

struct Messaging<'a> {
    application: Application<'a>,
    service: String,
    _running: Vec<Program>,
}

impl Messaging<'_> {
    /// Starts all programs except those that are started with `later`.
    fn start() -> Self {
        let mut application = Application::on(broker(), "messaging");
        // On the embedded broker, a second member of a group takes seconds to join, so there is only one worker.
        application.set("GOKA_WORKERS", "1");
        if broker().is_kafka() {
            application.set("GOKA_GUARANTEE", "exactly_once");
        }
        let roles = ["blocker", "translator", "collector"];
        let mut running = Vec::from(roles.map(|role| application.processor("messaging", role)));
        let (service, address) = application.service("messaging", &["service"], "service");
        running.push(service);
        Messaging {
            application,
            service: address,
            _running: running,
        }
    }

    fn later(&mut self, role: &str) {
        let processor = self.application.processor("messaging", role);
        self._running.push(processor);
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) {
        let answer = request(method, &self.service, path, body.as_ref());
        assert_eq!(answer.status, 202, "{method} {path}: {answer:?}");
    }

    fn send(&self, from: &str, to: &str, content: &str) {
        let letter = json!({ "to": to, "content": content });
        self.ask("POST", &format!("/users/{from}/messages"), Some(letter));
    }

    /// The messages of a topic, in their order.
    fn all(&self, topic: &str) -> Vec<Message> {
        let topic = self.application.physical(topic);
        let records = read_topic(self.application.address(), &topic);
        records.iter().map(Message::of).collect()
    }

    /// Waits until all of these messages are received, in any order. A message is given by its sender and its content.
    fn wait_until_received(&self, messages: impl IntoIterator<Item = (String, String)>) {
        let mut missing: BTreeSet<_> = messages.into_iter().collect();
        let topic = self.application.physical("messages-received");
        read_until(self.application.address(), &topic, |record| {
            let message = Message::of(record);
            missing.remove(&(message.from, message.content));
            missing.is_empty()
        });
    }

    /// If `kept` is true, waits until all these keys are in a table; if it is false, until none of them is.
    fn wait_until_kept(&self, table: &str, keys: &[&str], kept: bool) {
        let mut last = HashMap::new();
        let topic = self.application.physical(table);
        read_until(self.application.address(), &topic, |row| {
            last.insert(row.key_text().to_owned(), row.value.is_some());
            keys.iter().all(|key| last.get(*key) == Some(&kept))
        });
    }

    /// Sends a message of `from`, and returns whether it is delivered. Other users write after it, at least one in each
    /// partition: once their messages are delivered, the filter has decided about the message of `from`.
    fn is_heard(&self, from: &str, content: &str) -> bool {
        self.send(from, "ada", content);
        let others = (0..64).map(|n| {
            // The users are new in each call, so that none of them counts as a spammer.
            let name = format!("{n}-after-{}", content.replace(' ', "-"));
            (name, format!("after {content}"))
        });
        let others: Vec<_> = others.collect();
        for (other, content) in &others {
            self.send(other, "ada", content);
        }
        self.wait_until_received(others);
        let received = self.all("messages-received");
        let mut heard = received.iter();
        heard.any(|message| message.from == from && message.content == content)
    }
}

/// The messages that should be received, according to a model of the filter.
fn may_be_heard(sent: &[Message]) -> Vec<Message> {
    let heard = sent
        .iter()
        .filter(|message| !BLOCKED.contains(&&*message.from));
    let translated = heard.map(|message| {
        let words = message.content.split(' ').map(|word| {
            let mut known = TRANSLATIONS.iter();
            known
                .find(|(from, _)| *from == word)
                .map_or(word, |(_, to)| to)
        });
        Message {
            content: words.collect::<Vec<_>>().join(" "),
            ..message.clone()
        }
    });
    translated.collect()
}

/// The contents of the messages by sender and receiver. Each pair of sender and receiver keeps its order.
fn conversations(messages: &[Message]) -> BTreeMap<(String, String), Vec<&str>> {
    let mut conversations = BTreeMap::<_, Vec<_>>::new();
    for Message { from, to, content } in messages {
        let conversation = conversations.entry((from.clone(), to.clone()));
        conversation.or_default().push(&**content);
    }
    conversations
}

#[test]
fn everyone_hears_what_they_may_hear() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut messaging = Messaging::start();
    for user in BLOCKED {
        let why = json!({ "why": "rude" });
        messaging.ask("PUT", &format!("/blocked/{user}"), Some(why));
    }
    for (word, into) in TRANSLATIONS {
        let word = word.replace('!', "%21");
        messaging.ask(
            "PUT",
            &format!("/translations/{word}"),
            Some(json!({ "into": into })),
        );
    }
    // `fay` was blocked and is unblocked before the first message.
    messaging.ask("PUT", "/blocked/fay", Some(json!({ "why": "a mistake" })));
    messaging.ask("DELETE", "/blocked/fay", None);
    messaging.wait_until_kept("blocker-state", &BLOCKED, true);
    messaging.wait_until_kept("blocker-state", &["fay"], false);
    let words = TRANSLATIONS.map(|(word, _)| word);
    messaging.wait_until_kept("translator-state", &words, true);
    // These processors are started when the tables that they join are complete.
    messaging.later("filter");
    messaging.later("detector");

    let some_words = ["hi", "durn", "ouch!", "durndurn", "you", "", "über"];
    // Each user sends so few messages that no user counts as a spammer.
    for n in 0..12 {
        for from in USERS {
            let to = USERS
                .choose(&mut chance)
                .expect("the list of users is not empty");
            let words = (0..chance.random_range(1..5)).map(|_| some_words.choose(&mut chance));
            let words: Vec<_> = words.flatten().copied().collect();
            messaging.send(from, to, &format!("{n} {}", words.join(" ")));
        }
    }
    let model = may_be_heard(&messaging.all("messages-sent"));
    messaging.wait_until_received(
        model
            .iter()
            .map(|message| (message.from.clone(), message.content.clone())),
    );
    let received = messaging.all("messages-received");
    assert_eq!(conversations(&received), conversations(&model));
    for user in USERS {
        let heard = received.iter().filter(|message| message.to == user);
        let heard: Vec<_> = heard.map(Message::shown).collect();
        let path = format!("/users/{user}/feed");
        if heard.is_empty() {
            assert_eq!(get(&messaging.service, &path).status, 404);
            continue;
        }
        let last = Value::from(&heard[heard.len().saturating_sub(KEPT)..]);
        get_until(&messaging.service, &path, |answer| answer.body == last);
    }
    let nobody = get(&messaging.service, "/users/nobody/feed");
    assert_eq!(nobody.status, 404, "{nobody:?}");
    let nonsense = request(
        "POST",
        &messaging.service,
        "/users/ada/messages",
        Some(&json!(1)),
    );
    assert_eq!(nonsense.status, 400, "{nonsense:?}");
    assert!(nonsense.body["error"].is_string(), "{nonsense:?}");

    who_only_talks_is_blocked_until_let_back_in(&messaging);
}

fn who_only_talks_is_blocked_until_let_back_in(messaging: &Messaging<'_>) {
    // After this loop, the user has written one message less than makes a user a spammer.
    let spam = |n| ("spammer".to_owned(), format!("buy {n}"));
    for n in 1..20 {
        messaging.send("spammer", "ben", &spam(n).1);
    }
    messaging.wait_until_received((1..20).map(spam));
    messaging.send("spammer", "ben", "buy 20");
    messaging.wait_until_kept("blocker-state", &["spammer"], true);
    let until = |heard: bool| {
        let started = Instant::now();
        // The filter sees the row of the blocker a moment after the changelog has the row.
        for n in 0.. {
            if messaging.is_heard("spammer", &format!("heard {heard} {n}")) == heard {
                break;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "the filter still answers {} after the deadline",
                !heard
            );
        }
    };
    until(false);
    assert!(!messaging.is_heard("spammer", "once more"));
    messaging.ask("DELETE", "/blocked/spammer", None);
    until(true);
    assert!(messaging.is_heard("spammer", "sorry"));
}
