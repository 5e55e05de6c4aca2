//! What the macros print can be written by hand: the same counter twice, and the same graph.

#[goka::stream("user-clicks", value = String)]
struct Clicked;

#[goka::table(group = "my-group", value = i64)]
struct Clicks;

#[goka::processor(group = "my-group", input = Clicked, table = Clicks)]
fn count(ctx: &mut count::Context<'_>, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

// The counter by hand: at most 25 lines, as a test says.
mod by_hand {
    use goka::{Consumes, Context, Edge, Handler, Persists, Processor, Result};

    use super::{Clicked, Clicks};

    pub(super) struct Counter;

    impl Counter {
        fn count(&self, ctx: &mut Context<'_, Self>) -> Result {
            let clicks = ctx.value()?.unwrap_or(0);
            ctx.set_value(&(clicks + 1))
        }
    }
    impl Processor for Counter {
        const GROUP: &'static str = "my-group";
        type Key = String;
        const GRAPH: &'static [Edge<Self>] = &[Edge::input::<Clicked>(), Edge::table::<Clicks>()];
    }
    impl Persists<Clicks> for Counter {}
    impl Consumes<Clicked> for Counter {
        const HANDLER: Handler<Self> = Handler::Now(|counter, ctx| Ok(counter.count(ctx)?));
    }
}
// The end of the counter by hand.

#[test]
fn both_graphs_are_equal() {
    use goka::Processor;
    let by_macro = format!("{:#?}", count::Processor::GRAPH);
    assert_eq!(by_macro, format!("{:#?}", by_hand::Counter::GRAPH));
    assert_eq!(count::Processor::GROUP, by_hand::Counter::GROUP);
    for part in [
        "Input",
        "user-clicks",
        "Table",
        "my-group-state",
        "Murmur2",
        "text",
    ] {
        assert!(by_macro.contains(part), "no {part} in {by_macro}");
    }
}

#[test]
fn by_hand_is_short() {
    let lines = include_str!("by_hand.rs").lines();
    let from = lines.skip_while(|line| !line.starts_with("mod by_hand"));
    let by_hand = from.take_while(|line| !line.starts_with("// The end"));
    let lines = by_hand.filter(|line| !line.trim().is_empty()).count();
    assert!(lines > 10 && lines <= 25, "{lines} lines");
}
