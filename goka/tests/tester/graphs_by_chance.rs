//! Two groups: the first has a loop and writes to the input of the second. A seed chooses when and at which step
//! processes are killed, when partitions move, when brokers are unavailable, and which answers get lost. The expected
//! values come from a plain model. `GOKA_SIM_SEEDS=1000` runs 1000 seeds, `GOKA_SIM_SEEDS=500..900` runs the seeds of
//! this range.

use std::{collections::BTreeMap, env, ops::Range, time::Duration};

use goka::{Context, Guarantee, Tester, tester::CommitStep};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const USERS: u64 = 12;
/// Seeds of a run, unless `GOKA_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 40;

/// A rumour. The value is how many more times the rumour is passed on.
#[goka::stream("rumours", value = u64)]
struct Rumours;

/// Users who were told a rumour; the value is the user who told them.
#[goka::stream("told", value = String)]
struct Told;

/// The number of rumours that each user has heard.
#[goka::table(group = "gossip", value = u64)]
struct Heard;

/// The number of times that each user was told a rumour, as the second group counts them.
#[goka::table(group = "talkers", value = u64)]
struct Talks;

struct Gossip;

#[goka::processor(group = "gossip", table = Heard, output(Told))]
impl Gossip {
    #[input(Rumours)]
    fn begin(&self, ctx: &mut Context<'_, Self>, times: u64) -> goka::Result {
        hear(ctx, times)
    }

    #[loopback]
    fn tell(&self, ctx: &mut Context<'_, Self>, times: u64) -> goka::Result {
        hear(ctx, times)
    }
}

fn hear(ctx: &mut Context<'_, Gossip>, times: u64) -> goka::Result {
    let heard = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(heard + 1))?;
    if times == 0 {
        return Ok(());
    }
    let (user, next) = (ctx.key().to_owned(), next(ctx.key(), times));
    ctx.emit::<Told>(&next, &user)?;
    ctx.loopback(&next, &(times - 1))
}

#[goka::processor(group = "talkers", input = Told, table = Talks)]
fn count(ctx: &mut count::Context, _by: String) -> goka::Result {
    let talks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(talks + 1))
}

/// The user to whom `user` passes a rumour on.
fn next(user: &str, times: u64) -> String {
    let number: u64 = user.parse().expect("the name of a user must be a number");
    ((number * 7 + times + 1) % USERS).to_string()
}

type Counts = BTreeMap<String, u64>;

/// The expected tables: how many rumours each user has heard, and how many each user was told.
fn model(rumours: &[(String, u64)]) -> (Counts, Counts) {
    let (mut heard, mut told) = (Counts::new(), Counts::new());
    for (user, times) in rumours {
        let mut user = user.clone();
        for times in (0..=*times).rev() {
            *heard.entry(user.clone()).or_default() += 1;
            if times > 0 {
                user = next(&user, times);
                *told.entry(user.clone()).or_default() += 1;
            }
        }
    }
    (heard, told)
}

/// The seeds that `GOKA_SIM_SEEDS` names; without the variable, the first `usual` seeds.
pub(crate) fn seeds(usual: u64) -> Range<u64> {
    let Ok(asked) = env::var("GOKA_SIM_SEEDS") else {
        return 0..usual;
    };
    let number = |text: &str| {
        text.parse()
            .expect("the variable must be a number of seeds or a range")
    };
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&asked),
    }
}

/// Emits rumours while faults happen to both groups. Returns the rumours and the tester.
fn run(seed: u64, guarantee: Guarantee) -> (Vec<(String, u64)>, Tester) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut tester = Tester::new()
        .guarantee(guarantee)
        .partitions(3)
        .seed(seed)
        .processor(Gossip)
        .processor(count::Processor);
    let mut rumours = Vec::new();
    let mut instances = 1;
    for _ in 0..40 {
        for _ in 0..chance.random_range(0..4) {
            let user = chance.random_range(0..USERS).to_string();
            let rumour = (user, chance.random_range(0..6));
            tester.emit::<Rumours>(&rumour.0, &rumour.1);
            rumours.push(rumour);
        }
        let steps = [
            CommitStep::Handled,
            CommitStep::Delivered,
            CommitStep::Stored,
            CommitStep::Committed,
            CommitStep::Replaying,
            CommitStep::Released,
        ];
        match chance.random_range(0..14) {
            0 => tester.crash::<Gossip>(),
            1 => tester.crash::<count::Processor>(),
            2 | 3 => tester.crash_at::<Gossip>(steps[chance.random_range(0..steps.len())]),
            4 => tester.crash_at::<count::Processor>(steps[chance.random_range(0..steps.len())]),
            5 => tester.outage(Duration::from_millis(chance.random_range(1..3_000))),
            6 => tester.fail_deliveries::<Gossip>(1, chance.random()),
            7 if instances < 3 => {
                tester.start_instance::<Gossip>();
                instances += 1;
            }
            8 => tester.restart::<Gossip>(),
            _ => {}
        }
        tester.advance(Duration::from_millis(chance.random_range(0..120)));
    }
    tester
        .run()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    (rumours, tester)
}

#[test]
fn under_exactly_once_each_record_counts_once_in_every_group() {
    let (seeds, mut crashes) = (seeds(SEEDS), 0);
    for seed in seeds.clone() {
        let (rumours, mut tester) = run(seed, Guarantee::ExactlyOnce);
        let (heard, told) = model(&rumours);
        assert_eq!(tester.rows::<Heard>(), heard, "seed {seed}");
        assert_eq!(tester.rows::<Talks>(), told, "seed {seed}");
        crashes += tester.crashes();
    }
    println!("seeds {seeds:?} passed, with {crashes} crashes");
    assert!(crashes > 0, "no instance was killed");
}

#[test]
fn at_least_once_no_record_is_lost_in_any_group() {
    let (seeds, mut crashes) = (seeds(SEEDS), 0);
    for seed in seeds.clone() {
        let (rumours, mut tester) = run(seed, Guarantee::AtLeastOnce);
        let (heard, told) = model(&rumours);
        for (rows, model) in [
            (tester.rows::<Heard>(), heard),
            (tester.rows::<Talks>(), told),
        ] {
            for (user, times) in model {
                let counted = rows.get(&user).copied().unwrap_or(0);
                assert!(
                    counted >= times,
                    "seed {seed}: counted {counted} of {times} records of user {user}"
                );
            }
        }
        crashes += tester.crashes();
    }
    println!("seeds {seeds:?} passed, with {crashes} crashes");
    assert!(crashes > 0, "no instance was killed");
}
