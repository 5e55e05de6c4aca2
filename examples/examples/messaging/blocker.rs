//! The blocker: keeps the table of blocked users.

use crate::topics::{BlockUser, Blocked};

#[goka::processor(group = "blocker", input = BlockUser, table = Blocked)]
pub(crate) fn block(ctx: &mut block::Context, why: Option<String>) -> goka::Result {
    match why {
        Some(why) => ctx.set_value(&why),
        None => ctx.delete(),
    }
}
