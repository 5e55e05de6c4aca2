//! Tests that the tester and a broker agree: the same processors produce the tables of a plain model, both in memory
//! and on Kafka. `GOKA_TEST_BROKERS` names the broker; without it, the test starts an embedded broker.

use std::{
    collections::BTreeMap,
    env,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use goka::{App, Config, EmbeddedBroker, Emitter, Guarantee, Running, Stream, Tester, View};
use goka_examples::topics::{ClickCount, StatusUpdate, UserClicks, UserStatus};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::time::timeout;

#[path = "../examples/click_count/processor.rs"]
mod click_count;
#[path = "../examples/user_status/processor.rs"]
mod user_status;

/// Maximum time that the broker may take, which is much longer than it needs.
const DEADLINE: Duration = Duration::from_secs(60);

/// An action of a user.
enum Action {
    Click(String),
    Update(String, String),
}

type Counts = BTreeMap<String, u64>;
type Statuses = BTreeMap<String, String>;

fn actions(seed: u64) -> Vec<Action> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut action = || {
        let user = format!("user-{}", random.random_range(0..20));
        match random.random_bool(0.7) {
            true => Action::Click(user),
            false => Action::Update(user, ["here", "away"][random.random_range(0..2)].to_owned()),
        }
    };
    (0..300).map(|_| action()).collect()
}

fn model(actions: &[Action]) -> (Counts, Statuses) {
    let (mut counts, mut statuses) = (Counts::new(), Statuses::new());
    for action in actions {
        match action {
            Action::Click(user) => *counts.entry(user.clone()).or_insert(0) += 1,
            Action::Update(user, status) => {
                statuses.insert(user.clone(), status.clone());
            }
        }
    }
    (counts, statuses)
}

fn in_memory(actions: &[Action], seed: u64, guarantee: Guarantee) -> (Counts, Statuses) {
    let mut tester = Tester::new()
        .seed(seed)
        .guarantee(guarantee)
        .processor(click_count::count::Processor)
        .processor(user_status::remember::Processor);
    for action in actions {
        match action {
            Action::Click(user) => tester.emit::<UserClicks>(user, &"now".to_owned()),
            Action::Update(user, status) => tester.emit::<StatusUpdate>(user, &update(status)),
        }
    }
    let statuses = tester.rows::<UserStatus>().into_iter();
    let statuses = statuses
        .map(|(user, status)| (user, status.status))
        .collect();
    (tester.rows::<ClickCount>(), statuses)
}

async fn over_kafka(actions: &[Action], config: &Config) -> Result<(Counts, Statuses)> {
    let (clicks, updates) = (
        Emitter::<UserClicks>::new(config)?,
        Emitter::<StatusUpdate>::new(config)?,
    );
    for action in actions {
        match action {
            Action::Click(user) => drop(clicks.emit(user, &"now".to_owned())?),
            Action::Update(user, status) => drop(updates.emit(user, &update(status))?),
        }
    }
    clicks.close().await?;
    updates.close().await?;
    let running = App::new(config.clone())
        .processor(click_count::count::Processor)
        .processor(user_status::remember::Processor)
        .start()
        .await?;
    running.recovered().await?;
    let (counts, statuses) = (
        View::<ClickCount>::open(config).await?,
        View::<UserStatus>::open(config).await?,
    );
    let mut changes = (counts.updates(), statuses.updates());
    let handled = |running: &Running| {
        running
            .stats()
            .groups
            .iter()
            .map(|g| g.handled)
            .sum::<u64>()
    };
    while handled(&running) < actions.len() as u64 {
        tokio::select! {
            changed = changes.0.next() => drop(changed?),
            changed = changes.1.next() => drop(changed?),
        }
    }
    running.shutdown().await?;
    counts.caught_up().await?;
    statuses.caught_up().await?;
    let texts = statuses
        .iter()
        .map(|row| row.map(|(user, status)| (user, status.status)));
    Ok((
        counts.iter().collect::<Result<_, _>>()?,
        texts.collect::<Result<_, _>>()?,
    ))
}

fn update(status: &str) -> StatusUpdate {
    StatusUpdate {
        status: status.to_owned(),
    }
}

#[test]
fn the_tester_agrees_with_a_plain_model() {
    for seed in 0..10 {
        let actions = actions(seed);
        let wanted = model(&actions);
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let tested = in_memory(&actions, seed, guarantee);
            assert_eq!(tested, wanted, "seed {seed}, {guarantee:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_agrees_with_the_tester() -> Result<()> {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_micros() as u64;
    println!("seed {seed}");
    let actions = Arc::new(actions(seed));
    let (embedded, brokers) = match env::var("GOKA_TEST_BROKERS") {
        Ok(brokers) => (None, brokers),
        Err(_) => {
            let broker = EmbeddedBroker::start()?;
            let address = broker.address().to_owned();
            (Some(broker), address)
        }
    };
    // On the embedded broker, exactly-once runs as at-least-once, with a warning in the log.
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let state = tempfile::tempdir()?;
        let config = Config::new()
            .brokers(&brokers)
            .prefix(format!("testing-{seed}-{guarantee:?}-"))
            .guarantee(guarantee)
            .state_dir(state.path().join("state"))
            .create_stream(UserClicks::NAME, 4)
            .create_stream(StatusUpdate::NAME, 4);
        let over_kafka = timeout(DEADLINE, over_kafka(&actions, &config)).await??;
        let same = Arc::clone(&actions);
        let in_memory = tokio::task::spawn_blocking(move || in_memory(&same, seed, guarantee));
        assert_eq!(over_kafka, in_memory.await?, "{guarantee:?}");
    }
    drop(embedded);
    Ok(())
}
