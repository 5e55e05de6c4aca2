//! The collector: keeps the last messages that each user received.

use crate::topics::{Feed, Message, Received};

/// Maximum number of messages that are kept for each user.
const KEPT: usize = 10;

#[goka::processor(group = "collector", input = Received, table = Feed)]
pub(crate) fn collect(ctx: &mut collect::Context, message: Message) -> goka::Result {
    let mut feed = ctx.value()?.unwrap_or_default();
    feed.push(message);
    if feed.len() > KEPT {
        feed.remove(0);
    }
    ctx.set_value(&feed)
}
