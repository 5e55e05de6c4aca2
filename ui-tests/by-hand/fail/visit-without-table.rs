use goka::{Processor, Running, graph::{Consumes, Edge, Handler, Visitor, Visits}};
struct Hand;
impl Processor for Hand {
    const GROUP: &'static str = "hand";
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>()];
    type Key = String;
}
impl Consumes<api::Click> for Hand { const HANDLER: Handler<Self> = Handler::Now(|_, _| Ok(())); }
impl Visits<Hand> for u64 { const VISITOR: Visitor<Hand, u64> = Visitor::Now(|_, _, _| Ok(())); }
async fn run(running: Running) -> goka::Result<u64> { running.visit::<Hand, _>(1_u64).await }
fn main() { let _: fn(Running) -> std::pin::Pin<Box<dyn Future<Output = goka::Result<u64>>>> = |r| Box::pin(run(r)); }
