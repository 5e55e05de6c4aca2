use goka::{Processor, graph::{Consumes, Edge, Handler, Persists}};
#[goka::table(value = u64, partitioner = fnv1a)]
struct Clicks;
struct Hand;
impl Processor for Hand {
    const GROUP: &'static str = "hand";
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>(), Edge::table::<Clicks>()];
    type Key = String;
}
impl Persists<Clicks> for Hand {}
impl Consumes<api::Click> for Hand { const HANDLER: Handler<Self> = Handler::Now(|_, _| Ok(())); }
fn main() { let _ = goka::App::new(goka::Config::new()).processor(Hand); }
