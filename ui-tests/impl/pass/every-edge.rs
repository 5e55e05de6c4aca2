//! Every edge that Goka has, in one group.
use api::{Ban, Click, ClickCount, Warnings};
use goka::{Context, Meta, Processor, graph::Kind};

#[goka::table(group = "prices", key = u64, value = u64)]
struct Prices;
#[goka::table(value = u64)]
struct Points;

/// Its own key and value: what the visitor takes.
#[derive(Clone)]
struct Expire {
    points: u64,
}
#[derive(Clone)]
struct Export(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

struct Rewards;

#[goka::processor(
    group = "rewards",
    table = Points,
    join = ClickCount,
    lookup(Prices),
    output(Warnings, Ban)
)]
impl Rewards {
    #[input(Click)]
    async fn clicked(&self, ctx: &mut Context<'_, Self>, _click: Click) -> goka::Result {
        let clicks = ctx.join::<ClickCount>()?.unwrap_or(0);
        let price = ctx.lookup::<Prices>(&7)?.unwrap_or(1);
        if clicks > 1_000 {
            ctx.emit::<Ban>(&price, &"too many".to_owned())?;
        }
        let meta = Meta::new().header("cause", "click").at(ctx.timestamp());
        ctx.loopback_with(ctx.key(), &price, meta)
    }
    #[input("user-logouts")]
    fn logged_out(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
        ctx.emit::<Warnings>(ctx.key(), &"bye".to_owned())?;
        ctx.delete()
    }
    #[loopback]
    fn rewarded(&self, ctx: &mut Context<'_, Self>, points: Option<u64>) -> goka::Result {
        let before = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(before + points.unwrap_or(0)))
    }
    #[visitor]
    fn expire(&self, ctx: &mut Context<'_, Self>, expire: Expire) -> goka::Result {
        let before = ctx.value()?.unwrap_or(0);
        ctx.set_value(&before.saturating_sub(expire.points))
    }
    /// Takes anything that can be cloned; returns any error, or nothing.
    #[visitor]
    async fn export(&self, ctx: &mut Context<'_, Self>, to: Export) {
        if let Ok(mut keys) = to.0.lock() {
            keys.push(ctx.key().to_owned());
        }
    }
    #[cfg(any())]
    #[visitor]
    fn never(&self, ctx: &mut Context<'_, Self>, args: Missing) {}
}

async fn visit(running: &goka::Running) -> goka::Result<u64> {
    let expired = running.visit(Expire { points: 10 }).await?;
    let exported = running.processor::<Rewards>()?.visit(Export(Default::default())).await?;
    Ok(expired + exported)
}

fn main() {
    let edges = Rewards::GRAPH.iter().map(|edge| (edge.kind, edge.topic.name));
    let expected = [
        (Kind::Input, "user-clicks"),
        (Kind::Input, "user-logouts"),
        (Kind::Loop, "rewards-loop"),
        (Kind::Table, "rewards-state"),
        (Kind::Join, "click-count-state"),
        (Kind::Lookup, "prices-state"),
        (Kind::Output, "user-warnings"),
        (Kind::Output, "bans"),
    ];
    assert_eq!(edges.collect::<Vec<_>>(), expected);
    let _ = visit;
    let _ = goka::App::new(goka::Config::new()).processor(Rewards);
}
