//! Simulated users: this file decides when which user acts, and the application decides what the user does.

use std::{
    future::pending,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use goka::{Emitter, Topic};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::time::{interval, timeout};

use crate::{asked_to_end, options::Load};

/// Interval between two bursts of messages.
const TICK: Duration = Duration::from_millis(50);
/// Maximum number of messages in flight.
const BURST_MAX: u64 = 1_000;
/// Minimum interval between two lines of progress.
const LINE: Duration = Duration::from_secs(1);
/// Maximum time to wait at shutdown for messages in flight.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// Formats a time as RFC 3339.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Runs as the main task of a program: emits messages, prints the progress, and ends at Ctrl-C or when all messages
/// are acknowledged.
///
/// # Errors
/// If a message cannot be emitted, or is not delivered.
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
    println!("{total} messages acknowledged in total");
    Ok(())
}

/// Emits messages inside a program with other tasks. Returns only if a message cannot be emitted or is not delivered.
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

/// Emits the messages that `message` generates, each for a random user, at the rate of `load`. Returns only after the
/// broker has acknowledged as many messages as `load` says. Calls `acknowledged` with the number of acknowledged
/// messages.
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
            // A delivery that fails is reported by `flush`.
            drop(emitter.emit(&user, &message(&mut chance))?);
        }
        emitter.flush().await?;
        emitted += burst;
        acknowledged(emitted);
    }
    Ok(())
}
