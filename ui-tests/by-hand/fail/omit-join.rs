use goka::{Context, Processor, graph::{Consumes, Edge, Handler, Joins}};
struct Hand;
impl Processor for Hand {
    const GROUP: &'static str = "hand";
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>()];
    type Key = String;
}
impl Joins<api::ClickCount> for Hand {}
fn read(ctx: &mut Context<'_, Hand>) -> goka::Result<Option<i64>> { ctx.join::<api::ClickCount>() }
impl Consumes<api::Click> for Hand { const HANDLER: Handler<Self> = Handler::Now(|_, ctx| Ok(read(ctx).map(drop)?)); }
fn main() { std::hint::black_box(Hand::HANDLER); }
