//! The processors that are measured, written as users would write them.

/// The input: clicks, keyed by user.
#[goka::stream("clicks", value = String)]
pub(crate) struct Clicks;

/// Number of clicks per user.
#[goka::table(group = "counts", value = i64)]
pub(crate) struct Counts;

#[goka::processor(group = "counts", input = Clicks, table = Counts)]
pub(crate) fn count(ctx: &mut count::Context, _click: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

/// A user's row in [`Pages`].
#[goka::message]
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) clicks: i64,
    pub(crate) last: String,
}

/// The last page of each user.
#[goka::table(group = "pages", value = Page)]
pub(crate) struct Pages;

#[goka::processor(group = "pages", input = Clicks, table = Pages)]
pub(crate) fn remember(ctx: &mut remember::Context, click: String) -> goka::Result {
    let clicks = ctx.value()?.map_or(0, |page| page.clicks);
    ctx.set_value(&Page {
        clicks: clicks + 1,
        last: click,
    })
}

/// Marks: messages numbered in the order in which they are written.
#[goka::stream("marks", value = u64)]
pub(crate) struct Marks;

/// The last mark that each key has received.
#[goka::table(group = "marked", value = u64)]
pub(crate) struct Marked;

#[goka::processor(group = "marked", input = Marks, table = Marked)]
pub(crate) fn mark(ctx: &mut mark::Context, mark: u64) -> goka::Result {
    ctx.set_value(&mark)
}
