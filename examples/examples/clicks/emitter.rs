//! The emitter: simulates users who click.

use std::{
    collections::VecDeque,
    fmt::Write,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, bail};
use goka::{Config, Emitter, emitter::Delivery};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{interval, sleep, timeout},
};

use crate::{
    UserClicks,
    options::Options,
    screen::Screen,
    view::{REFRESH, Speed},
};

/// Maximum number of clicks in flight; enough clicks to keep the producer busy.
const UNDER_WAY_MAX: usize = 20_000;
/// Maximum number of clicks between two reads of the clock. Other tasks get a turn after each such burst.
const BURST_MAX: u64 = 500;
/// How long the emitter pauses between two bursts if the rate allows no more clicks.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum time to wait at shutdown for clicks in flight.
const LAST_DELIVERIES: Duration = Duration::from_millis(1500);

/// Emits until the broker has acknowledged `--clicks` clicks, or until Ctrl-C.
pub(crate) async fn run(options: &Options, config: &Config) -> Result<()> {
    let emitter = Emitter::<UserClicks>::new(config)?;
    let (acknowledged, progress) = watch::channel(0);
    let (without_limit, allowed) = watch::channel(u64::MAX);
    let mut screen = Screen::new();
    let mut emitting = pin!(emit(options, &emitter, allowed, &acknowledged));
    tokio::select! {
        emitted = &mut emitting => emitted?,
        shown = show(&progress, &mut screen) => shown?,
        asked = goka_examples::asked_to_end() => {
            asked?;
            drop(without_limit);
            match timeout(LAST_DELIVERIES, emitting).await {
                Ok(emitted) => emitted?,
                Err(_) => bail!("the broker did not acknowledge the last clicks within {LAST_DELIVERIES:?}"),
            }
        }
    }
    let acknowledged = *progress.borrow();
    screen.print(&format!("{acknowledged} clicks acknowledged"))?;
    match options.clicks {
        Some(clicks) if acknowledged < clicks => {
            bail!("the emitter ended before {clicks} clicks were acknowledged")
        }
        _ => Ok(()),
    }
}

async fn show(acknowledged: &watch::Receiver<u64>, screen: &mut Screen) -> Result<()> {
    let mut speed = Speed::new();
    let mut ticks = interval(REFRESH);
    loop {
        ticks.tick().await;
        let total = *acknowledged.borrow();
        let speed = speed.at(total);
        screen.draw(vec![format!(
            "{total} clicks acknowledged, {speed:.0} per second"
        )])?;
    }
}

/// Emits clicks at `--rate`, and at most `allowed` clicks in total, until `--clicks` clicks are emitted or the sender
/// of `allowed` is dropped. Returns only after the broker has acknowledged all emitted clicks.
pub(crate) async fn emit(
    options: &Options,
    emitter: &Emitter<UserClicks>,
    mut allowed: watch::Receiver<u64>,
    acknowledged: &watch::Sender<u64>,
) -> Result<()> {
    let wanted = options.clicks.unwrap_or(u64::MAX);
    let mut clicks = Clicks::of(options.users);
    let mut under_way = VecDeque::with_capacity(UNDER_WAY_MAX);
    let mut emitted = 0;
    let started = Instant::now();
    while emitted < wanted && allowed.has_changed().is_ok() {
        let allowed_now = *allowed.borrow_and_update();
        let due = match options.rate {
            0 => u64::MAX,
            rate => (started.elapsed().as_secs_f64() * rate as f64) as u64,
        };
        let burst = wanted
            .min(allowed_now)
            .min(due)
            .saturating_sub(emitted)
            .min(BURST_MAX);
        clicks.look_at_the_clock()?;
        for _ in 0..burst {
            let (user, at) = clicks.next()?;
            under_way.push_back(emitter.emit(user, at)?);
        }
        emitted += burst;
        loop {
            let is_full = under_way.len() > UNDER_WAY_MAX;
            let Some(delivery) = under_way.front_mut() else {
                break;
            };
            // Takes the deliveries that are complete. Waits for a delivery only if too many clicks are in flight.
            let delivered = match poll_now(delivery) {
                Poll::Pending if !is_full => break,
                Poll::Pending => delivery.await,
                Poll::Ready(delivered) => delivered,
            };
            delivered?;
            under_way.pop_front();
            acknowledged.send_modify(|count| *count += 1);
        }
        if burst > 0 {
            yield_now().await;
        } else if emitted >= allowed_now {
            // This fails when the sender of `allowed` is dropped; the loop then ends.
            let _may_have_ended = allowed.changed().await;
        } else {
            sleep(PAUSE).await;
        }
    }
    for delivery in under_way {
        delivery.await?;
        acknowledged.send_modify(|count| *count += 1);
    }
    Ok(())
}

fn poll_now(delivery: &mut Delivery) -> Poll<<Delivery as Future>::Output> {
    Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop()))
}

/// Generates clicks by random users, without an allocation for each click.
struct Clicks {
    chance: SmallRng,
    users: u64,
    user: String,
    at: String,
}

const USER: &str = "user-";

impl Clicks {
    fn of(users: u64) -> Clicks {
        Clicks {
            chance: SmallRng::from_os_rng(),
            users,
            user: USER.to_owned(),
            at: String::new(),
        }
    }

    /// Reads the clock. All clicks until the next call have this time.
    fn look_at_the_clock(&mut self) -> Result<()> {
        self.at.clear();
        Ok(write!(
            self.at,
            "{}",
            humantime::format_rfc3339_millis(SystemTime::now())
        )?)
    }

    /// The next click: the id of a random user, and the time as text.
    fn next(&mut self) -> Result<(&str, &String)> {
        self.user.truncate(USER.len());
        write!(self.user, "{}", self.chance.random_range(0..self.users))?;
        Ok((&self.user, &self.at))
    }
}
