//! Runs plain rdkafka and goka alternately, so that other load on the machine slows down both alike.

use serde_json::json;

use crate::{
    clicks::{self, Model},
    place::Place,
    raw,
    report::Report,
    settings::{Guarantee, Settings},
    throughput,
};

/// Runs the comparison, prints it, and returns whether the results of all runs were verified.
pub(crate) fn run(place: &Place, settings: &Settings, rounds: usize) -> anyhow::Result<bool> {
    clicks::fill(place, settings)?;
    let model = Model::of_clicks(place, settings);
    let guarantees = match settings.guarantee {
        Some(guarantee) => vec![guarantee],
        None => vec![Guarantee::AtLeastOnce, Guarantee::ExactlyOnce],
    };
    let mut runners = vec![None];
    runners.extend(guarantees.into_iter().map(Some));
    let mut reports: Vec<Vec<Report>> = runners.iter().map(|_| Vec::new()).collect();
    let mut verified = true;
    for round in 0..rounds.max(1) {
        // The order rotates, so that each of them goes first, and last, equally often.
        for turn in 0..runners.len() {
            let turn = (turn + round) % runners.len();
            let report = match runners[turn] {
                None => raw::run_with(place, settings, &model)?,
                Some(guarantee) => {
                    throughput::run_with(place, &settings.with_guarantee(guarantee), &model)?
                }
            };
            verified &= report.show(settings.json)?;
            reports[turn].push(report);
        }
    }
    let speeds = |runs: &[Report]| runs.iter().map(|run| run.measured.per_second()).collect();
    let raw: Vec<f64> = speeds(&reports[0]);
    for (guarantee, runs) in runners.iter().zip(&reports).skip(1) {
        let ours: Vec<f64> = speeds(runs);
        let ratios = ours.iter().zip(&raw).map(|(ours, raw)| ours / raw);
        let cpu = |runs: &[Report]| {
            let per_million = |run: &Report| {
                let measured = &run.measured;
                measured.cpu_seconds * 1e6 / measured.messages as f64
            };
            median(runs.iter().map(per_million).collect())
        };
        let compared = json!({
            "what": "compare",
            "guarantee": guarantee,
            "rounds": rounds,
            "messages_per_second": median(ours.clone()).round(),
            "messages_per_second_raw": median(raw.clone()).round(),
            "ratio": median(ratios.collect()),
            "cpu_seconds_per_million": cpu(runs),
            "cpu_seconds_per_million_raw": cpu(&reports[0]),
            "verified": verified,
        });
        println!("{compared}");
    }
    Ok(verified)
}

/// The median of `values`; NaN if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
