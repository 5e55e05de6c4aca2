//! Simulated users: when they do something, and which of them it is. What they do is the application's.

use std::{
    future::pending,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use goka::{Emitter, Topic};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::time::{interval, timeout};

use crate::{asked_to_end, options::Load};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(50);
/// Messages that are on their way at a time, at most.
const BURST_MAX: u64 = 1_000;
/// Between two lines that say how far the emitter is.
const LINE: Duration = Duration::from_secs(1);
/// How long the broker may take for what is on its way when it is time to end.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// A time in RFC 3339.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Emits as a program does: it says how far it is, and ends at Ctrl-C, too.
///
/// # Errors
/// If a message cannot be emitted, or was not delivered.
pub async fn run<S>(
    load: &Load,
    emitter: Emitter<S>,
    message: impl FnMut(&mut SmallRng) -> S::Value,
) -> Result<()>
where
    S: Topic<Key = String>,
{
    let (mut total, mut said) = (0, None::<Instant>);
    let acknowledged = |count| {
        total = count;
        if said.is_none_or(|said| said.elapsed() >= LINE) {
            said = Some(Instant::now());
            println!("{count} messages acknowledged");
        }
    };
    tokio::select! {
        emitted = emit(load, &emitter, message, acknowledged) => emitted?,
        asked = asked_to_end() => asked?,
    }
    timeout(LAST_DELIVERIES, emitter.close())
        .await
        .context("the broker did not acknowledge the last messages in time")??;
    println!("{total} messages acknowledged, that is all");
    Ok(())
}

/// Emits within a program that does more. Returns only if it fails: a message cannot be emitted, or was not delivered.
pub async fn keep_emitting<S>(
    load: &Load,
    emitter: &Emitter<S>,
    message: impl FnMut(&mut SmallRng) -> S::Value,
) -> goka::Error
where
    S: Topic<Key = String>,
{
    match emit(load, emitter, message, |_| ()).await {
        Ok(()) => pending().await,
        Err(error) => error,
    }
}

/// Emits what `message` makes of chance, each from one of the users, at the rate of `load`. Returns when the broker has
/// as many messages as `load` says. `acknowledged` hears how many it has.
async fn emit<S>(
    load: &Load,
    emitter: &Emitter<S>,
    mut message: impl FnMut(&mut SmallRng) -> S::Value,
    mut acknowledged: impl FnMut(u64),
) -> goka::Result
where
    S: Topic<Key = String>,
{
    let wanted = load.messages.unwrap_or(u64::MAX);
    let mut chance = SmallRng::from_os_rng();
    let mut ticks = interval(TICK);
    let (started, mut emitted) = (Instant::now(), 0);
    while emitted < wanted {
        let due = match load.rate {
            0 => u64::MAX,
            rate => {
                ticks.tick().await;
                (started.elapsed().as_secs_f64() * rate as f64) as u64
            }
        };
        let burst = due.min(wanted).saturating_sub(emitted).min(BURST_MAX);
        for _ in 0..burst {
            let user = format!("user-{}", chance.random_range(0..load.users));
            // If it fails, the flush says so.
            drop(emitter.emit(&user, &message(&mut chance))?);
        }
        emitter.flush().await?;
        emitted += burst;
        acknowledged(emitted);
    }
    Ok(())
}
