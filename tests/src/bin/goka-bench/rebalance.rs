//! Measures rebalances: a second instance joins and leaves under load, and a plain client records for how long each
//! partition writes no row.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    What,
    marks::{self, Heard, Listener},
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    served::{Instance, Served},
    settings::{Guarantee, Settings},
};

/// How long the group is left unchanged before and after each join and each leave.
const CALM: Duration = Duration::from_secs(2);

pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    rate: u64,
    dynamic: bool,
) -> anyhow::Result<Report> {
    let prefix = place.prefix();
    place.create(&format!("{prefix}marks"), settings.partitions)?;
    let measured = place.measure(What::Rebalance { rate, dynamic }, settings, &prefix)?;
    for topic in ["marks", "marked-state"] {
        place.delete(&format!("{prefix}{topic}"));
    }
    let once = settings.guarantee() == Guarantee::ExactlyOnce;
    let (lost, repeated) = (&measured.more["lost"], &measured.more["repeated"]);
    let verified = lost == 0 && (!once || repeated == 0);
    Ok(Report::new("rebalance", settings, measured, verified))
}

pub(crate) async fn measure(
    rate: u64,
    dynamic: bool,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let all = usize::try_from(settings.partitions)?;
    let instance = match dynamic {
        true => Instance::Dynamic,
        false => Instance::Static,
    };
    let mut first = Served::start(settings, prefix, instance)?;
    first.settles(all).await?;
    let listener = Listener::start(settings, prefix)?;
    let (meter, begun) = (Meter::start(), Instant::now());
    let over = Arc::<AtomicBool>::default();
    let writing = {
        let (settings, prefix, over) = (settings.clone(), prefix.to_owned(), over.clone());
        tokio::spawn(async move {
            let is_over = |_| over.load(Ordering::Relaxed);
            marks::write(&settings, &prefix, rate, is_over).await
        })
    };
    calm().await;
    let joined = Instant::now();
    let mut second = Served::start(settings, prefix, instance)?;
    second.runs(all / 2).await?;
    let moved = second.partitions();
    calm().await;
    let left = Instant::now();
    second.stop();
    first.runs(all).await?;
    calm().await;
    over.store(true, Ordering::Relaxed);
    let written = writing.await??.len();
    let ended = Instant::now();
    let measured = meter.stop(written as u64, begun, ended);
    let heard = listener.stop()?;
    second.end()?;
    first.end()?;

    let marks: BTreeSet<u64> = heard.iter().map(|heard| heard.mark).collect();
    let pauses = |from, to| {
        let pause = |partition: &i32| longest_pause(&heard, *partition, from, to);
        let (moved, stayed): (Vec<i32>, Vec<i32>) =
            (0..settings.partitions).partition(|n| moved.contains(n));
        let longest = |partitions: &[i32]| {
            let longest = partitions.iter().map(pause).max();
            longest.map(|pause| (pause.as_secs_f64() * 1e3).round())
        };
        (longest(&moved), longest(&stayed))
    };
    let before = {
        let (moved, stayed) = pauses(begun + CALM / 2, joined);
        [moved, stayed].into_iter().flatten().reduce(f64::max)
    };
    let (join, leave) = (pauses(joined, left), pauses(left, ended));
    Ok(measured
        .with("rate", rate)
        .with("dynamic_membership", dynamic)
        .with("lost", written - marks.len())
        .with("repeated", heard.len() - marks.len())
        .with("longest_pause_before_ms", before)
        .with("longest_pause_join_moved_ms", join.0)
        .with("longest_pause_join_stayed_ms", join.1)
        .with("longest_pause_leave_moved_ms", leave.0)
        .with("longest_pause_leave_stayed_ms", leave.1))
}

async fn calm() {
    let mut ticks = tokio::time::interval(CALM);
    // The first tick of a tokio interval completes immediately.
    ticks.tick().await;
    ticks.tick().await;
}

/// The longest time between two consecutive rows of the partition, among the pauses that overlap the time between
/// `from` and `to`.
fn longest_pause(heard: &[Heard], partition: i32, from: Instant, to: Instant) -> Duration {
    let times = heard.iter().filter(|heard| heard.partition == partition);
    let times: Vec<Instant> = times.map(|heard| heard.at).collect();
    let pauses = times
        .windows(2)
        .filter(|pair| pair[1] > from && pair[0] < to);
    pauses
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default()
}
