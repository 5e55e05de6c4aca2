//! The view: shows the table as it grows.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use goka::{Config, View, view::ViewState};
use tokio::time::{interval, sleep};

use crate::{Clicks, options::Options, screen::Screen, table::Table};

/// The time between two redraws of the screen.
pub(crate) const REFRESH: Duration = Duration::from_millis(500);

/// Shows the table until its sum reaches `--clicks`, or until Ctrl-C.
pub(crate) async fn run(options: &Options, config: &Config) -> Result<()> {
    tokio::select! {
        shown = show(options, config) => return shown,
        asked = goka_examples::asked_to_end() => asked?,
    }
    match options.clicks {
        Some(clicks) => bail!("the view ended before the table held {clicks} clicks"),
        None => Ok(()),
    }
}

async fn show(options: &Options, config: &Config) -> Result<()> {
    let mut screen = Screen::new();
    let view = View::<Clicks>::open(config).await?;
    recovered(&view, &mut screen).await?;
    let mut speed = Speed::new();
    loop {
        let table = Table::read(&view)?;
        screen.draw(table.lines(speed.at(table.total)))?;
        if options.clicks.is_some_and(|clicks| table.total >= clicks) {
            return Ok(());
        }
        if let ViewState::Failed(reason) = view.state() {
            bail!("the view is no longer kept up to date: {reason}");
        }
        // Reading a large table takes a while. The pause leaves most of the time to other tasks.
        sleep(REFRESH.max(4 * table.read_in)).await;
    }
}

/// Waits until the view has recovered, and shows its progress.
pub(crate) async fn recovered(view: &View<Clicks>, screen: &mut Screen) -> Result<()> {
    let mut recovered = pin!(view.recovered());
    let mut ticks = interval(REFRESH);
    loop {
        tokio::select! {
            biased;
            result = &mut recovered => return Ok(result?),
            _ = ticks.tick() => {
                if let ViewState::Recovering { rows, progress } = view.state() {
                    screen.draw(vec![format!("view: {:.0} % recovered, {rows} rows read", progress * 100.0)])?;
                }
            }
        }
    }
}

/// Measures the number of clicks per second between two totals.
pub(crate) struct Speed {
    last: Option<(u64, Instant)>,
}

impl Speed {
    pub(crate) fn new() -> Speed {
        Speed { last: None }
    }

    pub(crate) fn at(&mut self, total: u64) -> f64 {
        let now = Instant::now();
        let last = self.last.replace((total, now));
        last.map_or(0.0, |(before, then)| {
            total.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64()
        })
    }
}
