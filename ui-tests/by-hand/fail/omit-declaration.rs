use goka::{Processor, graph::{Edge, Handler}};
struct Hand;
impl Processor for Hand {
    const GROUP: &'static str = "hand";
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>(), Edge::output::<api::Warnings>()];
    type Key = String;
}
impl goka::graph::Consumes<api::Click> for Hand { const HANDLER: Handler<Self> = Handler::Now(|_, _| Ok(())); }
fn main() {}
