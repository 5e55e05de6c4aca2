//! The detector: has users blocked who talk much and are hardly ever talked to.

use goka::Context;

use crate::topics::{BlockUser, Received, Sent};

/// What is a spammer.
pub(crate) struct Detector {
    /// Nobody is judged by fewer messages, sent and received.
    pub(crate) messages_min: u64,
    /// Of all their messages, this part may be sent ones.
    pub(crate) sent_share_max: f64,
}

/// Messages of a user since they were judged last. No other program reads it, so it needs no name.
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
