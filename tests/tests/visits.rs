//! Visits: a visitor is called once for every row of the local partitions, the visitor's effects are committed like
//! those of records, and a visit is cancelled when a partition is lost.

mod place;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use goka::{App, BoxError, Context, Error, Running};
use goka_tests::{
    DEADLINE, Message, broker, last_values, needs_kafka, produce, read_topic, wait_for_records,
};
use place::Place;
use tokio::{sync::Semaphore, time::timeout};

#[goka::table(group = "bank", value = i64)]
struct Balance;

struct Bank {
    /// Each call of the slow visitor needs one of these permits to continue.
    permits: Arc<Semaphore>,
    began: Arc<AtomicUsize>,
}

#[goka::processor(group = "bank", table = Balance)]
impl Bank {
    #[input("payments")]
    fn paid(&self, ctx: &mut Context<'_, Self>, amount: i64) -> goka::Result {
        let balance = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(balance + amount))
    }

    #[visitor]
    fn add(&self, ctx: &mut Context<'_, Self>, interest: Interest) -> Result<(), BoxError> {
        let at_hand = (ctx.topic(), ctx.offset());
        assert_eq!(at_hand, ("bank-state", -1));
        match ctx.value()? {
            None => return Err("a missing row was visited".into()),
            Some(0) => ctx.delete()?,
            Some(balance) => ctx.set_value(&(balance + interest.0))?,
        }
        Ok(())
    }

    #[visitor]
    async fn wait(&self, ctx: &mut Context<'_, Self>, slowly: Slowly) -> Result<(), BoxError> {
        self.began.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await?.forget();
        let balance = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(balance + slowly.0))?;
        Ok(())
    }

    #[visitor]
    fn audit(&self, ctx: &mut Context<'_, Self>, _audit: Audit) -> Result<(), BoxError> {
        match ctx.key() {
            "account-7" => Err("the sums do not match".into()),
            _ => Ok(()),
        }
    }
}

/// A visit that adds interest to every account, and closes empty accounts.
#[derive(Clone)]
struct Interest(i64);

/// A visit that adds interest to every account, but waits for a permit before each account.
#[derive(Clone)]
struct Slowly(i64);

#[derive(Clone)]
struct Audit;

fn bank() -> Bank {
    Bank {
        permits: Arc::new(Semaphore::new(0)),
        began: Arc::default(),
    }
}

fn pay(place: &Place, amounts: impl IntoIterator<Item = (String, i64)>) {
    let payments = amounts
        .into_iter()
        .map(|(account, amount)| Message::new(account, amount.to_string()));
    produce(broker().address(), &place.physical("payments"), payments);
}

fn accounts(count: usize) -> impl Iterator<Item = String> + Clone {
    (0..count).map(|n| format!("account-{n}"))
}

/// Waits until the changelog has received this number of rows.
async fn wait_for_rows(place: &Place, rows: usize) {
    wait_for_records(place.physical("bank-state"), rows).await;
}

fn balances(place: &Place) -> BTreeMap<String, i64> {
    let rows = last_values(&read_topic(
        broker().address(),
        &place.physical("bank-state"),
    ));
    let number = |text: String| text.parse().expect("the value must be a number");
    rows.into_iter()
        .map(|(key, value)| (key, number(value)))
        .collect()
}

async fn start(place: &Place, bank: Bank) -> Running {
    broker().create_topic(&place.physical("payments"), 4);
    let app = App::new(place.config()).processor(bank);
    let running = app.start().await.expect("the app starts");
    running.recovered().await.expect("the app runs");
    running
}

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

#[tokio::test]
async fn every_row_is_visited_once_while_records_are_handled() {
    const ACCOUNTS: usize = 2_000;
    let place = Place::new("visits");
    let running = start(&place, bank()).await;
    let mut model = BTreeMap::new();
    // Every tenth account is empty, so the visit closes it.
    let opened = accounts(ACCOUNTS).zip(0..).map(|(key, n)| (key, n % 10));
    model.extend(opened.clone());
    pay(&place, opened);
    wait_for_rows(&place, ACCOUNTS).await;
    let keys = timeout(DEADLINE, running.visit(Interest(100)));
    let keys = keys
        .await
        .expect("the visit ends in time")
        .expect("all partitions run here");
    assert_eq!(keys, ACCOUNTS as u64);
    model.retain(|_, balance| *balance != 0);
    model.values_mut().for_each(|balance| *balance += 100);
    // When the result of a visit is returned, the effects of the visit are committed.
    assert_eq!(balances(&place), model);
    let bank = running
        .processor::<Bank>()
        .expect("the app runs the processor");
    assert_eq!(
        bank.get("account-3").expect("the partition runs here"),
        Some(103)
    );
    assert_eq!(
        bank.get("account-10").expect("the partition runs here"),
        None
    );

    // Payments and visits go on at the same time; the final sums contain both.
    pay(&place, accounts(ACCOUNTS).map(|key| (key, 5)));
    let twice = async {
        let first = running.visit(Interest(1_000));
        let second = running.visit(Interest(10_000));
        (first.await, second.await)
    };
    let (first, second) = timeout(DEADLINE, twice).await.expect("both end in time");
    let (first, second) = (
        first.expect("all partitions run here"),
        second.expect("all partitions run here"),
    );
    assert!((1_800..=2_000).contains(&first), "{first}");
    wait_for_rows(
        &place,
        ACCOUNTS + 2_000 + 2_000 + usize::try_from(first + second).expect("few"),
    )
    .await;
    end(running).await;
    let expected: i64 = model.values().sum::<i64>()
        + 5 * 2_000
        + 1_000 * i64::try_from(first).expect("few")
        + 10_000 * i64::try_from(second).expect("few");
    assert_eq!(balances(&place).values().sum::<i64>(), expected);
    for (account, balance) in balances(&place) {
        let before = model.get(&account).copied().unwrap_or(0) + 5;
        let visited = balance - before;
        assert!(
            [0, 1_000, 10_000, 11_000].contains(&visited),
            "{account}: {visited}"
        );
        assert!(before == 5 || visited == 11_000, "{account}: {visited}");
    }
}

#[tokio::test]
async fn a_visit_of_no_rows_ends_and_one_that_fails_says_where() {
    let place = Place::new("audits");
    let mut running = start(&place, bank()).await;
    assert_eq!(running.visit(Audit).await.expect("no rows"), 0);
    pay(&place, accounts(20).map(|key| (key, 1)));
    wait_for_rows(&place, 20).await;
    let failed = timeout(DEADLINE, running.visit(Audit)).await;
    assert!(matches!(
        failed.expect("the visit ends in time"),
        Err(Error::Closed(_))
    ));
    let ended = timeout(DEADLINE, running.wait())
        .await
        .expect("the app ends in time");
    let failure = ended.expect_err("the visitor fails").to_string();
    let late = timeout(DEADLINE, running.visit(Audit)).await;
    assert!(matches!(
        late.expect("the visit ends in time"),
        Err(Error::Closed(_))
    ));
    for part in [
        "bank",
        "`audit`",
        "failed: topic",
        "bank-state",
        "account-7",
        "the sums do not match",
    ] {
        assert!(
            failure.contains(part),
            "the text must contain `{part}`: {failure}"
        );
    }
}

#[tokio::test]
async fn a_visitor_that_waits_is_given_up_with_its_future_and_another_visit_goes_on() {
    let place = Place::new("slow-visits");
    let bank = bank();
    let (permits, began) = (bank.permits.clone(), bank.began.clone());
    let running = start(&place, bank).await;
    pay(&place, accounts(40).map(|key| (key, 1)));
    wait_for_rows(&place, 40).await;
    {
        let visit = running.visit(Slowly(1));
        let begun = async {
            while began.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = visit => panic!("the visit must wait for a permit"),
            begun = timeout(DEADLINE, begun) => begun.expect("the visit begins"),
        }
    }
    permits.add_permits(1_000);
    let keys = timeout(DEADLINE, running.visit(Slowly(10))).await;
    assert_eq!(
        keys.expect("the visit ends in time")
            .expect("all partitions run here"),
        40
    );
    end(running).await;
    for (account, balance) in balances(&place) {
        // When the first visit was cancelled, one or two of its rows were in flight.
        assert!([11, 12].contains(&balance), "{account}: {balance}");
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_visit_is_cancelled_when_a_partition_goes() {
    // On the mock cluster, a second member takes 5 s to join, and records are repeated.
    needs_kafka();
    let place = Place::new("cancelled");
    let bank = bank();
    let (permits, began) = (bank.permits.clone(), bank.began.clone());
    let running = start(&place, bank).await;
    pay(&place, accounts(400).map(|key| (key, 1)));
    wait_for_rows(&place, 400).await;
    permits.add_permits(100);
    let other = self::bank();
    other.permits.add_permits(1_000);
    let config = place.config().state_dir(place.state_dir().join("other"));
    let second = async {
        while began.load(Ordering::Relaxed) < 50 {
            tokio::task::yield_now().await;
        }
        let second = App::new(config).processor(other).start().await;
        let second = second.expect("the app starts");
        second.recovered().await.expect("the app runs");
        second
    };
    let both = async { tokio::join!(running.visit(Slowly(1)), second) };
    let (visit, second) = timeout(DEADLINE, both).await.expect("both end in time");
    let Err(Error::VisitCancelled { keys, .. }) = visit else {
        panic!("{visit:?}");
    };
    assert!(keys <= 100, "{keys}");
    permits.add_permits(1_000);
    let here = timeout(DEADLINE, running.visit(Slowly(1_000))).await;
    let there = timeout(DEADLINE, second.visit(Slowly(1_000))).await;
    let here = here
        .expect("the visit ends in time")
        .expect("no partition moves during the visit");
    let there = there
        .expect("the visit ends in time")
        .expect("no partition moves during the visit");
    assert_eq!(
        here + there,
        400,
        "each key must be at exactly one instance"
    );
    end(second).await;
    end(running).await;
    let balances = balances(&place);
    let visited = balances
        .values()
        .filter(|balance| **balance == 1_002)
        .count();
    assert!(
        visited >= usize::try_from(keys).expect("few"),
        "visited {visited} of {keys} keys"
    );
    assert!(
        balances
            .values()
            .all(|balance| [1_001, 1_002].contains(balance)),
        "{balances:?}"
    );
}
