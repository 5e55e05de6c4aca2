//! The processor: keeps the last status of each user.

use goka_examples::{
    topics::{StatusUpdate, UserStatus},
    users::rfc3339,
};

#[goka::processor(group = "user-status", input = StatusUpdate, table = UserStatus)]
pub(crate) fn remember(ctx: &mut remember::Context, update: StatusUpdate) -> goka::Result {
    let since = match ctx.value()? {
        // The status is unchanged, so the time of the last change is kept.
        Some(before) if before.status == update.status => before.since,
        _ => rfc3339(ctx.timestamp()),
    };
    let status = update.status;
    ctx.set_value(&UserStatus { status, since })
}
