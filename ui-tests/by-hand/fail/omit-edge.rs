use goka::{Context, Processor, graph::{Consumes, Edge, Emits, Handler}};
struct Hand;
impl Processor for Hand {
    const GROUP: &'static str = "hand";
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>()];
    type Key = String;
}
impl Emits<api::Warnings> for Hand {}
fn warn(ctx: &mut Context<'_, Hand>) -> goka::Result { ctx.emit::<api::Warnings>("a", &String::new()) }
impl Consumes<api::Click> for Hand { const HANDLER: Handler<Self> = Handler::Now(|_, ctx| Ok(warn(ctx)?)); }
fn main() { std::hint::black_box(Hand::HANDLER); }
