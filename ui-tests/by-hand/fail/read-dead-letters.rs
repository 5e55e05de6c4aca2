use goka::{OnError, Policy, Processor, graph::{Consumes, Edge, Handler}};
struct Count;
impl Processor for Count {
    const GROUP: &'static str = "count";
    type Key = String;
    const GRAPH: &'static [Edge<Self>] = &[Edge::input::<api::Click>()];
}
impl Consumes<api::Click> for Count {
    const HANDLER: Handler<Self> = Handler::Now(|_, _| Ok(()));
    const ON_ERROR: OnError = OnError::all(Policy::dead_letter_to("user-clicks"));
}
fn main() { let _app = goka::App::new(goka::Config::new()).processor(Count); }
