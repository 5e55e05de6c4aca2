//! At-least-once under random faults: tables are exact, and a processor that looks before it emits loses no output. The
//! processors are killed at every [`CommitStep`]; a seed chooses when, and which other faults happen. The expected
//! values come from a plain model. `GOKA_SIM_SEEDS=1000` runs 1000 seeds per step, `GOKA_SIM_SEEDS=500..900` the seeds
//! of this range.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use goka::{
    Context, Deferred, Processor, Table, Tester,
    graph::{Emits, Persists},
    tester::CommitStep,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::graphs_by_chance::seeds;

const STEPS: [CommitStep; 6] = [
    CommitStep::Handled,
    CommitStep::Delivered,
    CommitStep::Stored,
    CommitStep::Committed,
    CommitStep::Replaying,
    CommitStep::Released,
];
/// Seeds per step, unless `GOKA_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 8;
const USERS: u64 = 7;
const INSTANCES_MAX: usize = 3;

/// Orders by their name. An order may come several times, each time with another number.
#[goka::stream("orders", value = u64)]
struct Orders;

/// Clicks of users; the value is the number of clicks.
#[goka::stream("clicks", value = u64)]
struct Clicks;

/// The first number of each order.
#[goka::stream("accepted", value = u64)]
struct Accepted;

/// Guards of deferred records.
type Guards = Arc<Mutex<Vec<Deferred>>>;

/// A processor that accepts each order once and counts clicks, both in one table.
trait Shop: Processor<Key = String> + Sized {
    type Rows: Table<Key = String, Value = u64>;
    /// Whether records are deferred.
    const DEFERS: bool = false;

    fn new(guards: &Guards) -> Self;
}

/// Accepts an order, unless it was accepted before.
fn accept<S>(ctx: &mut Context<'_, S>, number: u64) -> goka::Result
where
    S: Shop + Persists<<S as Shop>::Rows> + Emits<Accepted>,
{
    if ctx.value()?.is_none() {
        ctx.set_value(&number)?;
        ctx.emit::<Accepted>(ctx.key(), &number)?;
    }
    Ok(())
}

/// Adds clicks to the row of a user.
fn count<S>(ctx: &mut Context<'_, S>, clicks: u64) -> goka::Result
where
    S: Shop + Persists<<S as Shop>::Rows>,
{
    let before = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(before + clicks))
}

/// Handlers that return at once.
struct Plain;

#[goka::table(value = u64)]
struct PlainRows;

#[goka::processor(group = "plain", table = PlainRows, output(Accepted))]
impl Plain {
    #[input(Orders)]
    fn order(&self, ctx: &mut Context<'_, Self>, number: u64) -> goka::Result {
        accept(ctx, number)
    }

    #[input(Clicks)]
    fn click(&self, ctx: &mut Context<'_, Self>, clicks: u64) -> goka::Result {
        count(ctx, clicks)
    }
}

impl Shop for Plain {
    type Rows = PlainRows;

    fn new(_: &Guards) -> Self {
        Plain
    }
}

/// Rows that are written once per key and commit interval.
struct Coalesced;

#[goka::table(value = u64, coalesce = true)]
struct CoalescedRows;

#[goka::processor(group = "coalesced", table = CoalescedRows, output(Accepted))]
impl Coalesced {
    #[input(Orders)]
    fn order(&self, ctx: &mut Context<'_, Self>, number: u64) -> goka::Result {
        accept(ctx, number)
    }

    #[input(Clicks)]
    fn click(&self, ctx: &mut Context<'_, Self>, clicks: u64) -> goka::Result {
        count(ctx, clicks)
    }
}

impl Shop for Coalesced {
    type Rows = CoalescedRows;

    fn new(_: &Guards) -> Self {
        Coalesced
    }
}

/// Handlers that wait: some give up their turn, and some sleep.
struct Waiting;

#[goka::table(value = u64)]
struct WaitingRows;

#[goka::processor(group = "waiting", table = WaitingRows, output(Accepted))]
impl Waiting {
    #[input(Orders)]
    async fn order(&self, ctx: &mut Context<'_, Self>, number: u64) -> goka::Result {
        wait(number).await;
        accept(ctx, number)
    }

    #[input(Clicks)]
    async fn click(&self, ctx: &mut Context<'_, Self>, clicks: u64) -> goka::Result {
        count(ctx, clicks)?;
        wait(clicks).await;
        Ok(())
    }
}

async fn wait(number: u64) {
    match number % 5 {
        0 => tokio::time::sleep(Duration::from_millis(number % 300)).await,
        1 | 2 => tokio::task::yield_now().await,
        _ => {}
    }
}

impl Shop for Waiting {
    type Rows = WaitingRows;

    fn new(_: &Guards) -> Self {
        Waiting
    }
}

/// Handlers that defer some records; the test completes them.
struct Deferring(Guards);

#[goka::table(value = u64)]
struct DeferringRows;

#[goka::processor(group = "deferring", table = DeferringRows, output(Accepted))]
impl Deferring {
    #[input(Orders)]
    fn order(&self, ctx: &mut Context<'_, Self>, number: u64) -> goka::Result {
        if number.is_multiple_of(4) {
            self.defer(ctx);
        }
        accept(ctx, number)
    }

    #[input(Clicks)]
    fn click(&self, ctx: &mut Context<'_, Self>, clicks: u64) -> goka::Result {
        if clicks.is_multiple_of(4) {
            self.defer(ctx);
        }
        count(ctx, clicks)
    }
}

impl Deferring {
    fn defer(&self, ctx: &mut Context<'_, Self>) {
        let mut guards = self.0.lock().expect("no thread panicked");
        guards.push(ctx.defer());
    }
}

impl Shop for Deferring {
    type Rows = DeferringRows;
    const DEFERS: bool = true;

    fn new(guards: &Guards) -> Self {
        Deferring(guards.clone())
    }
}

/// What the table and the output have to hold.
#[derive(Default)]
struct Model {
    rows: BTreeMap<String, u64>,
    /// The first number of each order.
    accepted: BTreeMap<String, u64>,
}

/// How many processes were killed, and how many outputs were repeated.
#[derive(Debug, Default)]
struct Seen {
    crashes: u32,
    repeated: usize,
}

/// Completes deferred records: all, or each of them by chance.
fn complete(guards: &Guards, mut is_chosen: impl FnMut() -> bool) -> usize {
    let mut guards = guards.lock().expect("no thread panicked");
    let chosen = guards.extract_if(.., |_| is_chosen());
    chosen.map(Deferred::done).count()
}

fn run<S: Shop>(step: CommitStep, seed: u64) -> Seen {
    let told = format!("{}, {step:?}, seed {seed}", S::GROUP);
    let mut chance = StdRng::seed_from_u64(seed);
    let guards = Guards::default();
    let partitions = i32::try_from(seed % 8 + 1).expect("a small number");
    let mut tester = Tester::new()
        .partitions(partitions)
        .seed(seed)
        .processor(S::new(&guards));
    let (mut model, mut instances) = (Model::default(), 1);
    let mut order = 0_u64;
    for n in 1..=30_u64 {
        for number in n * 100..n * 100 + chance.random_range(0..6) {
            if chance.random() {
                let user = format!("user {}", chance.random_range(0..USERS));
                tester.emit::<Clicks>(&user, &number);
                *model.rows.entry(user).or_default() += number;
            } else {
                // A new order, or one of the last orders again.
                order += chance.random_range(0..2);
                let name = format!("order {}", order - chance.random_range(0..4.min(order + 1)));
                tester.emit::<Orders>(&name, &number);
                model.accepted.entry(name.clone()).or_insert(number);
                model.rows.entry(name).or_insert(number);
            }
        }
        match chance.random_range(0..12) {
            0..=2 => tester.crash_at::<S>(step),
            3 => tester.crash::<S>(),
            4 => tester.outage(Duration::from_millis(chance.random_range(1..3_000))),
            5 | 6 => tester.fail_deliveries::<S>(chance.random_range(1..4), chance.random()),
            7 if instances < INSTANCES_MAX => {
                tester.start_instance::<S>();
                instances += 1;
            }
            8 => tester.restart::<S>(),
            _ => {}
        }
        tester.advance(Duration::from_millis(chance.random_range(0..150)));
        complete(&guards, || chance.random());
    }
    // Deferred records of processes that were killed are handled again, and deferred again, perhaps by another
    // instance after a rebalance. `Tester::run` would wait for them for an hour.
    let mut quiet = 0;
    while S::DEFERS && quiet < 25 {
        tester.advance(Duration::from_millis(200));
        quiet = if complete(&guards, || true) > 0 {
            0
        } else {
            quiet + 1
        };
    }
    loop {
        let ran = tester.run();
        ran.unwrap_or_else(|error| panic!("{told}: {error}"));
        if complete(&guards, || true) == 0 {
            break;
        }
    }
    assert_eq!(tester.rows::<S::Rows>(), model.rows, "{told}");
    let accepted = tester.emitted::<Accepted>();
    let numbers: BTreeSet<_> = accepted
        .iter()
        .map(|it| (it.key.clone(), it.value))
        .collect();
    let expected: BTreeSet<_> = model.accepted.clone().into_iter().collect();
    assert_eq!(numbers, expected, "{told}");
    Seen {
        crashes: tester.crashes(),
        repeated: accepted.len() - expected.len(),
    }
}

/// Kills the processor at each step, with each seed.
fn all<S: Shop>() {
    let seeds = seeds(SEEDS);
    for step in STEPS {
        let mut seen = Seen::default();
        for seed in seeds.clone() {
            let Seen { crashes, repeated } = run::<S>(step, seed);
            seen.crashes += crashes;
            seen.repeated += repeated;
        }
        println!("{}, {step:?}: seeds {seeds:?} passed, {seen:?}", S::GROUP);
        assert!(seen.crashes > 0, "no instance was killed at {step:?}");
    }
}

#[test]
fn tables_are_exact_and_no_output_is_lost() {
    all::<Plain>();
}

#[test]
fn tables_whose_rows_are_coalesced_are_exact_and_no_output_is_lost() {
    all::<Coalesced>();
}

#[test]
fn handlers_that_wait_keep_tables_exact_and_lose_no_output() {
    all::<Waiting>();
}

#[test]
fn deferred_records_keep_tables_exact_and_no_output_is_lost() {
    all::<Deferring>();
}
