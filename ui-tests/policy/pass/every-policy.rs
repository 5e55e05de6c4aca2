//! All that `on_error` and `guarantee` can say, and what is made of it.

use goka::{Context, Guarantee, OnError, Policy, Processor, graph::{Consumes, Kind, Visits}};

#[goka::table(value = u64)]
struct Points;

#[derive(Clone)]
struct Reset;

struct Rewards;

#[goka::processor(
    group = "rewards",
    table = Points,
    on_error = retry(5, backoff_ms = 100..=1_000, then = dead_letter),
    guarantee = exactly_once
)]
impl Rewards {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut Context<'_, Self>) {}
    #[input(api::Warnings, on_error(decode = dead_letter("no-warnings"), handler = retry(3, backoff_ms = 50, then = skip)))]
    async fn warned(&self, _ctx: &mut Context<'_, Self>) {}
    #[cfg(not(test))]
    #[loopback(on_error = fail)]
    fn rewarded(&self, _ctx: &mut Context<'_, Self>, _points: u64) {}
    #[visitor(on_error(panic = skip))]
    fn reset(&self, _ctx: &mut Context<'_, Self>, _reset: Reset) {}
}

#[goka::processor(group = "count", input = api::Click, on_error = skip, guarantee = at_least_once)]
fn count(_ctx: &mut count::Context) {}

fn main() {
    let retry = Policy::retry(5).backoff_ms(100, 1_000).then(Policy::DEAD_LETTER);
    assert_eq!(<Rewards as Consumes<api::Click>>::ON_ERROR, OnError::all(retry));
    let own = OnError::FAIL
        .decode(Policy::dead_letter_to("no-warnings"))
        .handler(Policy::retry(3).backoff_ms(50, 50).then(Policy::SKIP));
    assert_eq!(<Rewards as Consumes<api::Warnings>>::ON_ERROR, own);
    assert_eq!(<Reset as Visits<Rewards>>::ON_ERROR, OnError::FAIL.panic(Policy::SKIP));
    assert_eq!(Rewards::OPTIONS.guarantee, Some(Guarantee::ExactlyOnce));
    assert_eq!(count::Processor::OPTIONS.guarantee, Some(Guarantee::AtLeastOnce));
    let graph = goka::graph::Graph::of::<Rewards>();
    let dead = graph.edges.iter().filter(|edge| edge.kind == Kind::DeadLetter);
    let dead: Vec<_> = dead.map(|edge| edge.topic).collect();
    assert_eq!(dead, ["rewards-dead-letter", "no-warnings"]);
    assert!(graph.to_mermaid().contains("-->|dead letter|"));
}
