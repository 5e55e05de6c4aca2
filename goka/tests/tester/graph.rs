//! A small graph with every kind of edge, for the tests in this directory.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use goka::{Context, Meta};

/// Clicks of users; the value is the number of clicks.
#[goka::stream("user-clicks", value = i64)]
pub(crate) struct UserClicks;

/// Users who have clicked a hundred times.
#[goka::stream("user-prizes", value = String)]
pub(crate) struct Prizes;

/// Points that one user gives another.
#[goka::stream("user-gifts", value = i64)]
pub(crate) struct Gifts;

#[goka::table(group = "my-group", value = i64)]
pub(crate) struct Clicks;

/// A table that no processor in this file writes.
#[goka::table(group = "profiles", value = String)]
pub(crate) struct Profiles;

#[goka::table(group = "prices", key = u64, value = i64)]
pub(crate) struct Prices;

/// A table whose declaration names no group: the table belongs to the processor that names it.
#[goka::table(value = i64)]
pub(crate) struct Points;

#[goka::processor(group = "my-group", input = UserClicks, table = Clicks, output(Prizes))]
pub(crate) fn count(ctx: &mut count::Context, clicks: i64) -> goka::Result {
    let (before, clicks) = (
        ctx.value()?.unwrap_or(0),
        clicks + ctx.value()?.unwrap_or(0),
    );
    if before < 100 && clicks >= 100 {
        let meta = Meta::new()
            .headers(ctx.headers())
            .header("clicks", clicks.to_string());
        ctx.emit_with::<Prizes>(ctx.key(), &"a cup".to_owned(), meta)?;
    }
    ctx.set_value(&clicks)
}

/// A processor with a join, a lookup, a loop and a visitor.
pub(crate) struct Rewards {
    /// The number of handler calls.
    pub(crate) calls: Arc<AtomicU32>,
}

/// The argument of a visit that sets the points of all users.
#[derive(Clone)]
pub(crate) struct SetAll(pub(crate) i64);

#[goka::processor(group = "rewards", table = Points, join(Profiles), lookup(Prices))]
impl Rewards {
    /// Adds the price of a prize to the user's points. A blocked user gets nothing.
    #[input(Prizes)]
    fn prize(&self, ctx: &mut Context<'_, Self>, _what: String) -> goka::Result {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if ctx.join::<Profiles>()?.as_deref() == Some("blocked") {
            return Ok(());
        }
        let worth = ctx.lookup::<Prices>(&1)?.unwrap_or(0);
        ctx.set_value(&(ctx.value()?.unwrap_or(0) + worth))
    }

    /// The points go to a friend of the user, through the loop.
    #[input("user-gifts-made")]
    fn give(&self, ctx: &mut Context<'_, Self>, (friend, points): (String, i64)) -> goka::Result {
        ctx.loopback(&friend, &points)
    }

    #[loopback]
    fn take(&self, ctx: &mut Context<'_, Self>, points: i64) -> goka::Result {
        ctx.set_value(&(ctx.value()?.unwrap_or(0) + points))
    }

    #[input(Gifts)]
    fn gift(&self, ctx: &mut Context<'_, Self>, points: Option<i64>) -> goka::Result {
        match points {
            Some(points) if points < 0 => {
                Err(goka::Error::Topic("a gift must not be negative".into()))
            }
            Some(points) => ctx.set_value(&points),
            None => ctx.delete(),
        }
    }

    #[visitor]
    fn set_all(&self, ctx: &mut Context<'_, Self>, points: SetAll) -> goka::Result {
        ctx.set_value(&points.0)
    }
}

pub(crate) fn rewards() -> Rewards {
    Rewards {
        calls: Arc::default(),
    }
}
