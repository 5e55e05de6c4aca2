//! Measures latency: the time from writing a message until a view shows its row. A processor in another process writes
//! the row.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use goka::{View, view::Update};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    What, marks,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    served::{Instance, Served},
    settings::Settings,
    table::Marked,
};

/// Warm-up in seconds, which the results leave out: in this time, clients connect and files grow.
const WARM_UP_SECONDS: u64 = 1;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    rate: u64,
    seconds: u64,
) -> anyhow::Result<Vec<Report>> {
    ensure!(
        settings.users >= rate,
        "`--users` must be at least the rate: if several rows of one key arrive together, a view shows only the last of them"
    );
    let marks = rate * (seconds + WARM_UP_SECONDS);
    let run = |(instance, name)| {
        let prefix = place.prefix();
        place.create(&format!("{prefix}marks"), settings.partitions)?;
        if matches!(instance, Instance::Plain) {
            let table = format!("{prefix}marked-state");
            place.create_with(
                &table,
                settings.partitions,
                &[("cleanup.policy", "compact")],
            )?;
        }
        let task = What::Latency {
            rate,
            seconds,
            instance,
        };
        let measured = place.measure(task, settings, &prefix)?;
        for topic in ["marks", "marked-state"] {
            place.delete(&format!("{prefix}{topic}"));
        }
        let verified = measured.more["shown"] == marks;
        Ok(Report::new(name, settings, measured, verified))
    };
    let runs = [
        (Instance::Plain, "latency with plain rdkafka (lower limit)"),
        (Instance::Static, "latency"),
    ];
    runs.into_iter().map(run).collect()
}

pub(crate) async fn measure(
    (rate, seconds): (u64, u64),
    instance: Instance,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let marks = rate * (seconds + WARM_UP_SECONDS);
    let mut served = Served::start(settings, prefix, instance)?;
    served
        .settles(usize::try_from(settings.partitions)?)
        .await?;
    let state = tempfile::tempdir()?;
    let config = settings.config(prefix)?.state_dir(state.path());
    let view = View::<Marked>::open(&config).await?;
    view.recovered().await?;
    let shown = show(&view, marks);

    let (meter, begun) = (Meter::start(), Instant::now());
    let written = marks::write(settings, prefix, rate, |written| written >= marks).await?;
    let shown = timeout(PATIENCE, shown).await???;
    let measured = meter.stop(marks, begun, Instant::now());
    view.close().await?;
    served.end()?;

    let counted = usize::try_from(rate * WARM_UP_SECONDS)?..usize::try_from(marks)?;
    let since_written = |(mark, at): (u64, Instant)| {
        let mark = usize::try_from(mark).ok()?;
        let written = written.get(mark).filter(|_| counted.contains(&mark))?;
        Some(at.duration_since(*written))
    };
    let count_shown = shown.len();
    let shown = shown.into_iter().filter_map(since_written).collect();
    Ok(measured
        .with("rate", rate)
        .with("shown", count_shown)
        .with("until_shown_by_a_view_ms", percentiles(shown)))
}

/// Starts a task that records when the view reports each mark, which is when reads of the view first see the mark.
fn show(view: &View<Marked>, marks: u64) -> JoinHandle<anyhow::Result<Vec<(u64, Instant)>>> {
    let mut updates = view.updates();
    tokio::spawn(async move {
        let mut shown = Vec::new();
        while (shown.len() as u64) < marks {
            match updates.next().await? {
                Update::Row { value, .. } => shown.push((value.unwrap_or(0), Instant::now())),
                Update::Missed(missed) => {
                    bail!("the view dropped {missed} updates, so latencies are missing")
                }
                _ => bail!("the view was rebuilt"),
            }
        }
        Ok(shown)
    })
}

fn percentiles(mut durations: Vec<Duration>) -> Value {
    durations.sort_unstable();
    let at = |share: f64| {
        let index = (durations.len() as f64 * share) as usize;
        let duration = durations.get(index.min(durations.len().saturating_sub(1)));
        duration.map(|duration| (duration.as_secs_f64() * 1e5).round() / 100.0)
    };
    json!({
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p99.9": at(0.999),
        "max": at(1.0),
    })
}
