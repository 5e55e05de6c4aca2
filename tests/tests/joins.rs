//! Joins and lookups: the tables are complete before the first record is handled, they are kept up to date, and all
//! readers in a process share them.

mod place;

use std::collections::BTreeMap;

use goka::{App, Config, Context, Running, View};
use goka_tests::{
    DEADLINE, Message, broker, last_values, needs_kafka, produce, read_topic, read_until,
    wait_for_records,
};
use place::Place;
use tokio::time::timeout;

#[goka::table(group = "customers", value = String)]
struct Customers;

#[goka::table(group = "prices", key = u64, value = i64)]
struct Prices;

#[goka::stream("purchases", value = u64)]
struct Purchases;

#[goka::stream("bills", value = String)]
struct Bills;

#[goka::processor(group = "customers", input = "customer-names", table = Customers)]
fn name(ctx: &mut name::Context, name: Option<String>) -> goka::Result {
    match name {
        Some(name) => ctx.set_value(&name),
        None => ctx.delete(),
    }
}

#[goka::stream("price-tags", key = u64, value = i64)]
struct Tags;

#[goka::processor(group = "prices", key = u64, input = Tags, table = Prices)]
fn price(ctx: &mut price::Context, price: i64) -> goka::Result {
    ctx.set_value(&price)
}

#[goka::table(value = i64)]
struct Spent;

struct Till;

#[goka::processor(group = "till", table = Spent, output(Bills), join(Customers), lookup(Prices))]
impl Till {
    #[input(Purchases)]
    fn bought(&self, ctx: &mut Context<'_, Self>, product: u64) -> goka::Result {
        let price = ctx.lookup::<Prices>(&product)?.unwrap_or(0);
        let spent = ctx.value()?.unwrap_or(0) + price;
        ctx.set_value(&spent)?;
        let name = ctx.join::<Customers>()?;
        let name = name.as_deref().unwrap_or("a stranger");
        ctx.emit::<Bills>(ctx.key(), &format!("{name} pays {price}"))
    }
}

/// A processor of another group with the same join and lookup, written as an `async` function.
#[goka::processor(group = "kiosk", input = Purchases, output = Bills, join(Customers), lookup(Prices))]
async fn sold(ctx: &mut sold::Context<'_>, product: u64) -> goka::Result {
    tokio::task::yield_now().await;
    let price = ctx.lookup::<Prices>(&product)?.unwrap_or(0);
    let name = ctx.join::<Customers>()?;
    let name = name.as_deref().unwrap_or("a stranger");
    ctx.emit::<Bills>(ctx.key(), &format!("{name} pays {price}"))
}

fn create(place: &Place) {
    for topic in ["customer-names", "price-tags", "purchases", "bills"] {
        broker().create_topic(&place.physical(topic), 4);
    }
}

fn feed(place: &Place, topic: &str, messages: impl IntoIterator<Item = Message>) {
    produce(broker().address(), &place.physical(topic), messages);
}

async fn start(app: App) -> Running {
    let running = app.start().await.expect("the app starts");
    let recovered = timeout(DEADLINE, running.recovered()).await;
    recovered
        .expect("recovery ends in time")
        .expect("the app runs");
    running
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

/// Creates the topics, and writes names and prices. Call this before any processor runs.
async fn shop(place: &Place, customers: usize, products: u64) {
    create(place);
    let names = (0..customers).map(|n| Message::new(customer(n), format!("Name {n}")));
    feed(place, "customer-names", names);
    let tags = (0..products).map(|n| Message::new(n.to_string(), (n * 10).to_string()));
    feed(place, "price-tags", tags);
    let app = App::new(place.config())
        .processor(name::Processor)
        .processor(price::Processor);
    let running = start(app).await;
    wait_for_records(place.physical("customers-state"), customers).await;
    wait_for_records(
        place.physical("prices-state"),
        usize::try_from(products).expect("few"),
    )
    .await;
    end(running).await;
}

fn customer(n: usize) -> String {
    format!("customer-{n}")
}

/// Waits until the topic of bills has a record with this key and value.
async fn wait_for_bill(place: &Place, key: &str, value: &str) {
    let topic = place.physical("bills");
    let (key, value) = (key.to_owned(), value.to_owned());
    let read = move || {
        read_until(broker().address(), &topic, |bill| {
            bill.key_text() == key && bill.value_text() == value
        });
    };
    tokio::task::spawn_blocking(read)
        .await
        .expect("the reading thread does not panic");
}

#[tokio::test]
async fn tables_are_whole_before_the_first_record_and_followed_from_there() {
    const CUSTOMERS: usize = 3_000;
    let place = Place::new("joins");
    shop(&place, CUSTOMERS, 500).await;
    // Every third purchase is made by an unknown customer.
    let purchase = |n: usize| {
        (
            if n.is_multiple_of(3) {
                format!("walk-in-{n}")
            } else {
                customer(n)
            },
            n as u64 % 600,
        )
    };
    let purchases: Vec<_> = (0..CUSTOMERS).map(purchase).collect();
    let messages = purchases
        .iter()
        .map(|(by, product)| Message::new(by.as_str(), product.to_string()));
    feed(&place, "purchases", messages);
    let app = App::new(place.config())
        .processor(Till)
        .processor(sold::Processor)
        .processor(name::Processor)
        .processor(price::Processor);
    let running = start(app).await;
    let bills = wait_for_records(place.physical("bills"), 2 * CUSTOMERS).await;
    let mut model = BTreeMap::new();
    for (n, (by, product)) in purchases.iter().enumerate() {
        let name = if n % 3 == 0 {
            "a stranger".to_owned()
        } else {
            format!("Name {n}")
        };
        let price = if *product < 500 { product * 10 } else { 0 };
        // Each purchase yields two bills: one from the group `till`, and one from the group `kiosk`.
        *model
            .entry((by.clone(), format!("{name} pays {price}")))
            .or_insert(0) += 2;
    }
    let mut found = BTreeMap::new();
    for bill in &bills {
        let bill = (bill.key_text().to_owned(), bill.value_text().to_owned());
        *found.entry(bill).or_insert(0) += 1;
    }
    assert_eq!(found, model);

    // Running processors soon see changes of the joined tables.
    feed(
        &place,
        "customer-names",
        [
            Message::new("customer-1", "Ada"),
            Message::tombstone("customer-2"),
        ],
    );
    feed(&place, "price-tags", [Message::new("7", "777")]);
    let view = View::<Customers>::open(&place.config())
        .await
        .expect("the view opens");
    let prices = View::<Prices>::open(&place.config())
        .await
        .expect("the view opens");
    let seen = async {
        let ada = || {
            view.get("customer-1")
                .expect("the row can be read")
                .as_deref()
                == Some("Ada")
        };
        let gone = || !view.has("customer-2").expect("the row can be read");
        while !(ada() && gone() && prices.get(&7).expect("the row can be read") == Some(777)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, seen)
        .await
        .expect("the readers see the changes in time");
    // The views, joins and lookups of a process share one local copy, and so see the same rows.
    feed(
        &place,
        "purchases",
        [
            Message::new("customer-1", "7"),
            Message::new("customer-2", "7"),
        ],
    );
    wait_for_bill(&place, "customer-1", "Ada pays 777").await;
    wait_for_bill(&place, "customer-2", "a stranger pays 777").await;
    let till = running
        .processor::<Till>()
        .expect("the app runs the processor");
    assert_eq!(
        till.get::<Spent>("no-such-customer")
            .expect("the row can be read"),
        None
    );
    end(running).await;
    let spent = last_values(&read_topic(
        broker().address(),
        &place.physical("till-state"),
    ));
    let purchases = purchases
        .into_iter()
        .chain([(customer(1), 7), (customer(2), 7)]);
    let mut model = BTreeMap::new();
    for (n, (by, product)) in purchases.enumerate() {
        let price = if product >= 500 {
            0
        } else if n >= CUSTOMERS {
            777
        } else {
            product * 10
        };
        *model.entry(by).or_insert(0) += price;
    }
    let model: BTreeMap<_, _> = model
        .into_iter()
        .map(|(by, spent)| (by, spent.to_string()))
        .collect();
    assert_eq!(spent, model);
}

async fn refusal(config: Config) -> String {
    let started = App::new(config).processor(Till).start().await;
    started.expect_err("the app refuses to start").to_string()
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_joined_table_that_is_missing_or_has_other_partitions_is_refused_with_what_to_do() {
    // The embedded broker creates each topic that a client asks for, with a number of partitions of its own choice.
    needs_kafka();
    let place = Place::new("refused-joins");
    create(&place);
    let said = refusal(place.config()).await;
    for part in [
        &place.physical("customers-state"),
        "till",
        "joins",
        "does not exist",
        "start that processor first",
    ] {
        assert!(
            said.contains(part),
            "the text must contain `{part}`: {said}"
        );
    }
    let compacted = [("cleanup.policy", "compact")];
    broker().create_topic_with(&place.physical("customers-state"), 3, &compacted);
    broker().create_topic_with(&place.physical("prices-state"), 2, &compacted);
    let said = refusal(place.config()).await;
    for part in [
        &place.physical("customers-state"),
        "3 partitions",
        "has 4",
        "lookup(...)",
    ] {
        assert!(
            said.contains(part),
            "the text must contain `{part}`: {said}"
        );
    }
}
