//! The trait of processors: one group, one key, one constant graph. Must not know how a processor is run.

use crate::{
    base::options::ProcessorOptions,
    typed::{graph::Edge, key::Key},
};

/// A processor: its group, the type of its keys, and its edges to topics.
///
/// `#[goka::processor]` implements this trait, and one trait of [`graph`](crate::graph) for each edge. A counter that
/// is written without the macro:
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
/// All workers of a process share one value of the processor type. Its fields hold what the program injects, such as
/// clients and settings. State that belongs to a key must be kept in the group table.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a processor",
    label = "not a processor",
    note = "mark a function with `#[goka::processor(group = \"...\", input = ...)]`: `fn count` is run as `count::Processor`"
)]
pub trait Processor: Sized + Send + Sync + 'static {
    /// The name of the consumer group. Processes of the same group share the partitions.
    const GROUP: &'static str;
    /// The edges to topics. Inputs come first. Goka checks the graph at compile time.
    const GRAPH: &'static [Edge<Self>];
    /// The type of the keys of the inputs and of the table.
    type Key: Key;
    /// Options that override the [`Config`](crate::Config) of the app.
    const OPTIONS: ProcessorOptions = ProcessorOptions::DEFAULT;
}
