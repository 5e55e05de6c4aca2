//! Measures how much handlers that sleep slow down other partitions: the handlers of one partition sleep, while the
//! worker's other partitions go on.

use std::{
    future::pending,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use goka::{App, BoxError, Context};
use goka_tests::{Message, produce};
use tokio::{sync::Notify, time::timeout};

use crate::{
    What,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    settings::Settings,
};

#[goka::stream("calls", value = u64)]
struct Calls;

#[goka::table(group = "exchange", value = u64)]
struct Answered;

/// Counts the calls that are handled in the partitions whose handlers do not sleep.
#[derive(Default)]
struct Others {
    wanted: u64,
    handled: AtomicU64,
    begun: OnceLock<Instant>,
    done: Notify,
}

struct Exchange {
    sleep: Duration,
    others: Arc<Others>,
}

#[goka::processor(group = "exchange", table = Answered)]
impl Exchange {
    #[input(Calls)]
    async fn call(&self, ctx: &mut Context<'_, Self>, _number: u64) -> Result<(), BoxError> {
        if ctx.partition() == SLOW {
            // This sleep is the subject of the measurement.
            let never = timeout(self.sleep, pending::<()>());
            never.await.unwrap_or(());
        } else {
            self.others.begun.get_or_init(Instant::now);
            if self.others.handled.fetch_add(1, Ordering::Relaxed) + 1 == self.others.wanted {
                self.others.done.notify_one();
            }
        }
        let answered = ctx.value()?.unwrap_or(0);
        Ok(ctx.set_value(&(answered + 1))?)
    }
}

const SLOW: i32 = 0;
/// Number of calls in the sleeping partition. It is more than the partition can process before the other partitions are
/// done.
const CALLS_SLOW: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// Two runs with the same calls: one without sleep, and one in which the handlers of one partition sleep.
pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    sleep_ms: u64,
) -> anyhow::Result<Vec<Report>> {
    ensure!(
        settings.partitions > 1,
        "`--partitions` must be at least 2: handlers of one partition sleep while the others go on"
    );
    let runs = [0, sleep_ms].map(|sleep_ms| one(place, settings, sleep_ms));
    runs.into_iter().collect()
}

fn one(place: &Place, settings: &Settings, sleep_ms: u64) -> anyhow::Result<Report> {
    let prefix = place.prefix();
    let topic = format!("{prefix}calls");
    place.create(&topic, settings.partitions)?;
    let call = |key: String, partition: i32| Message {
        partition: Some(partition),
        ..Message::new(key, "1")
    };
    let slow = (0..CALLS_SLOW).map(|n| call(format!("slow-{n}"), SLOW));
    let others = i64::from(settings.partitions) - 1;
    let others = (0..settings.messages).map(|n| {
        let partition = i32::try_from(1 + n.cast_signed() % others).unwrap_or(1);
        call(format!("{partition}-{}", n % settings.users), partition)
    });
    produce(place.address(), &topic, slow.chain(others));
    let measured = place.measure(What::Waiting { sleep_ms }, settings, &prefix)?;
    let table = format!("{prefix}exchange-state");
    let mut rows = std::collections::HashMap::new();
    goka_tests::visit_topic(place.address(), &table, |row| {
        let answered: u64 = row.value_text().parse().unwrap_or(0);
        if row.partition != SLOW {
            rows.insert((row.partition, row.key), answered);
        }
    });
    let verified = rows.values().sum::<u64>() == settings.messages;
    place.delete(&topic);
    place.delete(&table);
    Ok(Report::new("waiting", settings, measured, verified))
}

pub(crate) async fn measure(
    sleep_ms: u64,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let state = tempfile::tempdir()?;
    let config = settings.config(prefix)?.state_dir(state.path());
    let sleep = Duration::from_millis(sleep_ms);
    let others = Arc::new(Others {
        wanted: settings.messages,
        ..Others::default()
    });
    let exchange = Exchange {
        sleep,
        others: others.clone(),
    };
    let meter = Meter::start();
    let running = App::new(config).processor(exchange).start().await?;
    timeout(PATIENCE, others.done.notified()).await?;
    let (begun, done) = (others.begun.get().copied(), Instant::now());
    let measured = meter.stop(settings.messages, begun.unwrap_or(done), done);
    let slow = running.stats().groups[0]
        .handled
        .saturating_sub(settings.messages);
    running.shutdown().await?;
    Ok(measured
        .with("sleep_ms", sleep_ms)
        .with("calls_that_slept", slow))
}
