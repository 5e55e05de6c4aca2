//! Tests that code which the macros generate can also be written by hand. A counter, and a processor with every kind
//! of edge, are each written once with the macros and once by hand, and the two versions have equal graphs.

use goka::{
    Context, Processor,
    graph::{Visitor, Visits},
};

#[goka::stream("user-clicks", value = String)]
struct Clicked;

#[goka::table(group = "my-group", value = i64)]
struct Clicks;

#[goka::processor(group = "my-group", input = Clicked, table = Clicks)]
fn count(ctx: &mut count::Context<'_>, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

// The counter by hand; a test asserts that it has at most 25 lines.
mod by_hand {
    use goka::{
        Context, Processor, Result,
        graph::{Consumes, Edge, Handler, Persists},
    };

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

#[goka::stream("user-invited-by", value = String)]
struct Invited;
#[goka::stream("user-warnings", value = String)]
struct Warnings;
#[goka::table(group = "profiles", value = String)]
struct Profiles;
#[goka::table(group = "prices", key = u64, value = u64)]
struct Prices;
#[goka::table(value = u64)]
struct Points;

/// The argument with which a visit is requested.
#[derive(Clone)]
struct Reset;

struct Rewards;

#[goka::processor(group = "rewards", table = Points, join(Profiles), lookup(Prices), output(Warnings))]
impl Rewards {
    #[input(Invited, on_error = retry(3, then = dead_letter))]
    async fn invited(&self, ctx: &mut Context<'_, Self>, by: String) -> goka::Result {
        if ctx.join::<Profiles>()?.is_none() {
            ctx.emit::<Warnings>(ctx.key(), &"has no profile".to_owned())?;
        }
        let price = ctx.lookup::<Prices>(&7)?.unwrap_or(1);
        ctx.loopback(&by, &price)
    }
    #[loopback]
    fn rewarded(&self, ctx: &mut Context<'_, Self>, points: Option<u64>) -> goka::Result {
        let before = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(before + points.unwrap_or(0)))
    }
    #[visitor]
    fn reset(&self, ctx: &mut Context<'_, Self>, _: Reset) -> goka::Result {
        ctx.delete()
    }
}

mod every_edge_by_hand {
    use goka::{
        Context, OnError, Policy, Processor, Stream, Topic,
        codec::ByType,
        graph::{
            Consumes, Edge, Emits, Handler, Joins, Lookups, Loops, Outcome, Persists, Visitor,
            Visits, message, message_or_tombstone,
        },
    };

    use super::{Invited, Points, Prices, Profiles, Reset, Warnings};

    pub(super) struct Rewards;

    /// The loop of the group.
    struct Rewarded;

    impl Rewards {
        async fn invited(&self, ctx: &mut Context<'_, Self>) -> Outcome {
            let by = message::<Invited, String>(ctx)?;
            if ctx.join::<Profiles>()?.is_none() {
                ctx.emit::<Warnings>(ctx.key(), &"has no profile".to_owned())?;
            }
            let price = ctx.lookup::<Prices>(&7)?.unwrap_or(1);
            Ok(ctx.loopback(&by, &price)?)
        }
        fn rewarded(&self, ctx: &mut Context<'_, Self>) -> Outcome {
            let points = message_or_tombstone::<Rewarded, u64>(ctx)?;
            let before = ctx.value()?.unwrap_or(0);
            Ok(ctx.set_value(&(before + points.unwrap_or(0)))?)
        }
    }
    impl Topic for Rewarded {
        type Key = String;
        type Value = u64;
        type Codec = ByType;
    }
    impl Stream for Rewarded {
        const NAME: &'static str = "rewards-loop";
    }
    impl Processor for Rewards {
        const GROUP: &'static str = "rewards";
        type Key = String;
        const GRAPH: &'static [Edge<Self>] = &[
            Edge::input::<Invited>(),
            Edge::loopback::<Rewarded>(),
            Edge::table::<Points>(),
            Edge::join::<Profiles>(),
            Edge::lookup::<Prices>(),
            Edge::output::<Warnings>(),
        ];
    }
    impl Persists<Points> for Rewards {}
    impl Joins<Profiles> for Rewards {}
    impl Lookups<Prices> for Rewards {}
    impl Emits<Warnings> for Rewards {}
    impl Loops<Rewarded> for Rewards {}
    impl Consumes<Invited> for Rewards {
        const HANDLER: Handler<Self> = Handler::Later(|this, ctx| Box::pin(this.invited(ctx)));
        const NAME: &'static str = "invited";
        const ON_ERROR: OnError = OnError::all(Policy::retry(3).then(Policy::DEAD_LETTER));
    }
    impl Consumes<Rewarded> for Rewards {
        const HANDLER: Handler<Self> = Handler::Now(|this, ctx| this.rewarded(ctx));
        const NAME: &'static str = "rewarded";
        const TOMBSTONES: bool = true;
    }
    impl Visits<Rewards> for Reset {
        const VISITOR: Visitor<Rewards, Self> = Visitor::Now(|_, ctx, _| Ok(ctx.delete()?));
        const NAME: &'static str = "reset";
    }
}

fn assert_equal_graphs<P: Processor, Q: Processor>(parts: &[&str]) {
    let by_macro = format!("{:#?}", P::GRAPH);
    assert_eq!(by_macro, format!("{:#?}", Q::GRAPH));
    assert_eq!(P::GROUP, Q::GROUP);
    for part in parts {
        assert!(
            by_macro.contains(part),
            "the graph must contain {part}: {by_macro}"
        );
    }
}

#[test]
fn both_graphs_are_equal() {
    assert_equal_graphs::<count::Processor, by_hand::Counter>(&[
        "Input",
        "user-clicks",
        "Table",
        "my-group-state",
        "Murmur2",
        "text",
    ]);
    assert_equal_graphs::<Rewards, every_edge_by_hand::Rewards>(&[
        "Loop",
        "rewards-loop",
        "Join",
        "profiles-state",
        "Lookup",
        "prices-state",
        "Output",
    ]);
}

#[test]
fn both_have_the_same_visitor() {
    fn name_and_wait<P: Processor, A: Visits<P>>() -> (&'static str, bool) {
        (A::NAME, matches!(A::VISITOR, Visitor::Later(_)))
    }
    let by_macro = name_and_wait::<Rewards, Reset>();
    assert_eq!(by_macro, ("reset", false));
    assert_eq!(
        by_macro,
        name_and_wait::<every_edge_by_hand::Rewards, Reset>()
    );
}

#[test]
fn by_hand_is_short() {
    let lines = include_str!("by_hand.rs").lines();
    let from = lines.skip_while(|line| !line.starts_with("mod by_hand"));
    let by_hand = from.take_while(|line| !line.starts_with("// The end"));
    let lines = by_hand.filter(|line| !line.trim().is_empty()).count();
    assert!(lines > 10 && lines <= 25, "{lines} lines");
}
