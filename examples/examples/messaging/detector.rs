//! The detector: blocks users who send many messages and receive few.

use goka::Context;

use crate::topics::{BlockUser, Received, Sent};

/// Thresholds that define a spammer.
pub(crate) struct Detector {
    /// Minimum number of messages, sent and received, before a user can be blocked.
    pub(crate) messages_min: u64,
    /// Maximum share of sent messages among all messages of a user.
    pub(crate) sent_share_max: f64,
}

/// Message counts of a user since they were last blocked. No other program reads this table, so it needs no name.
#[goka::table]
#[derive(Default)]
struct Traffic {
    sent: u64,
    received: u64,
}

// Both streams are keyed by a user, so that both counts of a user are in one row.
#[goka::processor(group = "detector", table = Traffic, output(BlockUser))]
impl Detector {
    #[input(Sent)]
    fn sent(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
        let mut traffic = ctx.value()?.unwrap_or_default();
        traffic.sent += 1;
        let Traffic { sent, received } = traffic;
        let total = sent + received;
        if total < self.messages_min || sent as f64 <= self.sent_share_max * total as f64 {
            return ctx.set_value(&traffic);
        }
        let why = format!("sent {sent} of {total} messages");
        ctx.emit::<BlockUser>(ctx.key(), &why)?;
        // A user who is unblocked later starts from zero.
        ctx.delete()
    }

    #[input(Received)]
    fn received(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
        let mut traffic = ctx.value()?.unwrap_or_default();
        traffic.received += 1;
        ctx.set_value(&traffic)
    }
}
