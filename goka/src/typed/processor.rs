//! A processor is a type: one group, one key, one constant graph.

use crate::{
    base::options::ProcessorOptions,
    typed::{graph::Edge, key::Key},
};

/// A processor group: its name, its key and its edges.
///
/// `#[goka::processor]` prints this and one impl for each edge. By hand, a counter:
///
/// ```
/// use goka::{Context, Processor, graph::{Consumes, Edge, Handler, Persists}};
///
/// #[goka::stream("user-clicks", value = String)]
/// struct Clicked;
/// #[goka::table(value = i64)]
/// struct Clicks;
///
/// struct Counter;
///
/// impl Counter {
///     fn count(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
///         let clicks = ctx.value()?.unwrap_or(0);
///         ctx.set_value(&(clicks + 1))
///     }
/// }
///
/// impl Processor for Counter {
///     const GROUP: &'static str = "my-group";
///     type Key = String;
///     const GRAPH: &'static [Edge<Self>] = &[Edge::input::<Clicked>(), Edge::table::<Clicks>()];
/// }
/// impl Persists<Clicks> for Counter {}
/// impl Consumes<Clicked> for Counter {
///     const HANDLER: Handler<Self> = Handler::Now(|counter, ctx| Ok(counter.count(ctx)?));
/// }
/// ```
///
/// One value is shared by all workers, so what it holds is injected state: clients, settings.
/// State that belongs to keys is the table's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a processor",
    label = "not a processor",
    note = "mark a function with `#[goka::processor(group = \"...\", input = ...)]`: `fn count` is run as `count::Processor`"
)]
pub trait Processor: Sized + Send + Sync + 'static {
    /// The name of the group; its members share the partitions.
    const GROUP: &'static str;
    /// The edges, inputs first.
    const GRAPH: &'static [Edge<Self>];
    /// The key of its inputs and of its table.
    type Key: Key;
    /// How it runs, where it differs from the [`Config`](crate::Config) of the app.
    const OPTIONS: ProcessorOptions = ProcessorOptions::DEFAULT;
}
