//! The processor: counts the clicks of each user.

use goka_examples::topics::{ClickCount, UserClicks};

#[goka::processor(group = "click-count", input = UserClicks, table = ClickCount)]
pub(crate) fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}
