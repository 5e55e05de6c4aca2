//! The effects of a handler are applied completely or not at all. This holds for functions and methods, with and
//! without `async`. The tests check it with a plain client.

mod place;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use goka::{App, Context, Error, Meta, Running};
use goka_tests::{
    DEADLINE, Message, Record, an_hour_ago, broker, last_values, produce, read_topic, read_until,
};
use place::Place;
use tokio::time::timeout;

/// Waits until a topic has this number of records, and returns all records of the topic.
fn read_all(place: &Place, topic: &str, records: usize) -> Vec<Record> {
    let (address, topic) = (broker().address(), place.physical(topic));
    let mut seen = 0;
    read_until(address, &topic, |_| {
        seen += 1;
        seen >= records
    });
    read_topic(address, &topic)
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

#[goka::stream("orders", value = i64)]
struct Orders;

#[goka::stream("receipts", value = i64)]
struct Receipts;

#[goka::table(group = "shop", value = i64)]
struct Turnover;

struct Shop {
    failures_left: Arc<AtomicU32>,
}

#[goka::processor(group = "shop", table = Turnover, output(Receipts))]
impl Shop {
    #[input(Orders)]
    fn ordered(&self, ctx: &mut Context<'_, Self>, amount: i64) -> Result<(), goka::BoxError> {
        let sum = ctx.value()?.unwrap_or(0) + amount;
        ctx.set_value(&sum)?;
        ctx.emit::<Receipts>(ctx.key(), &amount)?;
        let left = self.failures_left.load(Ordering::Relaxed);
        if ctx.key() == "bad" && left > 0 {
            self.failures_left.store(left - 1, Ordering::Relaxed);
            return Err("the handler is broken".into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_fails_twice_counts_once_and_emits_once() {
    let place = Place::new("handlers");
    for topic in ["orders", "receipts"] {
        broker().create_topic(&place.physical(topic), 4);
    }
    let orders = ["a", "bad", "a", "b", "bad", "a"];
    let orders = orders
        .iter()
        .zip(1..)
        .map(|(key, amount): (_, i64)| Message {
            partition: Some(0),
            ..Message::new(*key, amount.to_string())
        });
    produce(broker().address(), &place.physical("orders"), orders);
    let failures_left = Arc::new(AtomicU32::new(2));
    let app = || {
        let failures_left = failures_left.clone();
        App::new(place.config()).processor(Shop { failures_left })
    };
    for _ in 0..2 {
        let mut running = app().start().await.expect("the app starts");
        let ended = timeout(DEADLINE, running.wait())
            .await
            .expect("the app ends in time");
        let failure = ended.expect_err("the handler fails");
        let Error::Record {
            handler,
            topic,
            partition,
            offset,
            key,
            ..
        } = &failure
        else {
            panic!("{failure}");
        };
        assert_eq!(**topic, *place.physical("orders"), "{failure}");
        assert_eq!((*partition, *offset), (0, 1), "{failure}");
        assert_eq!((*handler, &**key), ("ordered", "bad"), "{failure}");
        assert!(
            failure.to_string().contains("the handler is broken"),
            "{failure}"
        );
    }
    let running = app().start().await.expect("the app starts");
    let receipts = read_all(&place, "receipts", 6);
    end(running).await;
    let mut amounts: Vec<_> = receipts.iter().map(Record::value_text).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, ["1", "2", "3", "4", "5", "6"]);
    let rows = read_topic(broker().address(), &place.physical("shop-state"));
    assert_eq!(rows.len(), 6, "each order must have one row: {rows:?}");
    let expected = [("a", "10"), ("b", "4"), ("bad", "7")];
    let expected = expected.map(|(key, sum)| (key.to_owned(), sum.to_owned()));
    assert_eq!(last_values(&rows), BTreeMap::from(expected));
}

#[goka::table(group = "waiters", value = i64)]
struct Waited;

#[goka::processor(group = "waiters", input = "tables", table = Waited)]
async fn wait_on(ctx: &mut wait_on::Context<'_>, guests: i64) -> goka::Result {
    // The handler needs the application's runtime here, and lets records queue up behind it.
    tokio::task::yield_now().await;
    let sum = ctx.value()?.unwrap_or(0);
    if guests % 10 == 0 {
        timeout(Duration::from_millis(1), std::future::pending::<()>())
            .await
            .unwrap_or_default();
    }
    ctx.set_value(&(sum + guests))
}

#[tokio::test]
async fn handlers_that_wait_keep_the_order_of_their_partition() {
    let place = Place::new("waiters");
    broker().create_topic(&place.physical("tables"), 4);
    let guests = (1..=2_000_i64).map(|n| Message::new(format!("table-{}", n % 7), n.to_string()));
    produce(broker().address(), &place.physical("tables"), guests);
    let app = App::new(place.config()).processor(wait_on::Processor);
    let running = app.start().await.expect("the app starts");
    let place = Arc::new(place);
    let reading = place.clone();
    // Reads on another thread, because handlers need the runtime in the meantime.
    let read = move || read_all(&reading, "waiters-state", 2_000);
    let rows = tokio::task::spawn_blocking(read).await.expect("rows");
    end(running).await;
    let mut model = BTreeMap::new();
    for n in 1..=2_000_i64 {
        *model.entry(format!("table-{}", n % 7)).or_insert(0) += n;
    }
    let expected: BTreeMap<_, _> = model
        .into_iter()
        .map(|(key, sum)| (key, sum.to_string()))
        .collect();
    assert_eq!(last_values(&rows), expected);
}

#[goka::message]
struct Again {
    times: u32,
}

#[goka::table(group = "echoes", value = String)]
struct Heard;

struct Echoes;

#[goka::processor(group = "echoes", table = Heard)]
impl Echoes {
    #[input("calls")]
    fn called(&self, ctx: &mut Context<'_, Self>, call: String) -> goka::Result {
        let heard = ctx.value()?.unwrap_or_default();
        ctx.set_value(&(heard + &call))?;
        ctx.loopback(ctx.key(), &Again { times: 3 })
    }

    #[loopback]
    fn again(&self, ctx: &mut Context<'_, Self>, again: Again) -> goka::Result {
        let heard = ctx.value()?.unwrap_or_default();
        ctx.set_value(&(heard + "!"))?;
        if again.times > 1 {
            ctx.loopback(
                ctx.key(),
                &Again {
                    times: again.times - 1,
                },
            )?;
        }
        Ok(())
    }

    #[input("silences")]
    fn silenced(&self, ctx: &mut Context<'_, Self>, silence: Option<String>) -> goka::Result {
        match silence {
            None => ctx.delete(),
            Some(_) => Ok(()),
        }
    }
}

#[tokio::test]
async fn several_inputs_a_loop_and_tombstones() {
    let place = Place::new("echoes");
    for topic in ["calls", "silences"] {
        broker().create_topic(&place.physical(topic), 4);
    }
    let address = broker().address();
    let keys = (0..20).map(|n| format!("valley-{n}"));
    produce(
        address,
        &place.physical("calls"),
        keys.clone().map(|key| Message::new(key, "hello")),
    );
    let app = App::new(place.config()).processor(Echoes);
    let running = app.start().await.expect("the app starts");
    let rows = read_all(&place, "echoes-state", 80);
    let loud = keys.clone().map(|key| (key, "hello!!!".to_owned()));
    assert_eq!(last_values(&rows), loud.clone().collect());
    let quiet = ["valley-3", "valley-11"];
    produce(
        address,
        &place.physical("silences"),
        quiet.map(Message::tombstone),
    );
    let rows = read_all(&place, "echoes-state", 82);
    end(running).await;
    let left = loud.filter(|(key, _)| !quiet.contains(&key.as_str()));
    assert_eq!(last_values(&rows), left.collect());
}

#[goka::stream("letters", value = String)]
struct Letters;

#[goka::stream("copies", value = String)]
struct Copies;

#[goka::message]
struct Returned {
    to: String,
}

struct Office;

#[goka::processor(group = "office", output(Copies))]
impl Office {
    #[input(Letters)]
    fn posted(&self, ctx: &mut Context<'_, Self>, letter: String) -> goka::Result {
        let at_hand = format!(
            "{} {} {} {} {letter}",
            ctx.group(),
            ctx.topic(),
            ctx.partition(),
            ctx.offset()
        );
        // Without metadata, a message goes to the partition of its key, and has the timestamp of the input record.
        ctx.emit::<Copies>("plain", &at_hand)?;
        let later = ctx.timestamp() + Duration::from_secs(1);
        let meta = Meta::new()
            .headers(ctx.headers())
            .header("copied-by", "office");
        ctx.emit_with::<Copies>(
            "addressed",
            &at_hand,
            meta.clone().to_partition(2).at(later),
        )?;
        let to = ctx.key().to_owned();
        ctx.loopback_with("back", &Returned { to }, meta.at(later))
    }

    #[loopback]
    fn returned(&self, ctx: &mut Context<'_, Self>, returned: Returned) -> goka::Result {
        let stamps = ctx.headers().len();
        let text = format!("{} {} {stamps}", ctx.topic(), returned.to);
        ctx.emit::<Copies>("returned", &text)
    }
}

#[tokio::test]
async fn an_emitted_message_has_the_given_metadata_or_the_timestamp_of_its_record() {
    let place = Place::new("office");
    for topic in ["letters", "copies"] {
        broker().create_topic(&place.physical(topic), 4);
    }
    let sent_at = an_hour_ago();
    let letter = |n: usize| Message {
        partition: Some(3),
        timestamp: Some(sent_at),
        headers: vec![("stamp".to_owned(), b"red".to_vec())],
        ..Message::new("alice", format!("letter {n}"))
    };
    produce(
        broker().address(),
        &place.physical("letters"),
        (0..2).map(letter),
    );
    let app = App::new(place.config()).processor(Office);
    let running = app.start().await.expect("the app starts");
    let copies = read_all(&place, "copies", 6);
    end(running).await;
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let of = |key: &str| -> Vec<_> {
        copies
            .iter()
            .filter(|copy| copy.key_text() == key)
            .collect()
    };
    let (plain, addressed, returned) = (of("plain"), of("addressed"), of("returned"));
    assert_eq!((plain.len(), addressed.len(), returned.len()), (2, 2, 2));
    for n in 0..2 {
        let text = format!("office letters 3 {n} letter {n}");
        assert_eq!(plain[n].value_text(), text);
        assert_eq!(plain[n].timestamp, Some(sent_at));
        assert_eq!(plain[n].headers, []);
        assert_eq!(addressed[n].value_text(), text);
        assert_eq!(addressed[n].partition, 2);
        assert_eq!(addressed[n].timestamp, Some(sent_at + 1_000));
        let stamps = [header("stamp", "red"), header("copied-by", "office")];
        assert_eq!(addressed[n].headers, stamps);
        assert_eq!(returned[n].value_text(), "office-loop alice 2");
        assert_eq!(
            returned[n].timestamp,
            Some(sent_at + 1_000),
            "the loop message must keep the timestamp"
        );
    }
    assert_eq!(plain[0].partition, plain[1].partition);
    let looped = read_topic(broker().address(), &place.physical("office-loop"));
    let keys: Vec<_> = looped.iter().map(Record::key_text).collect();
    assert_eq!(keys, ["back", "back"]);
}
