//! What a guarantee means for the modules that do not commit. Made once, with the protocol: no other code of the engine
//! matches on the guarantee.

use std::time::Duration;

/// The rules of a guarantee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Handlers may hold their records back (`ctx.defer()`).
    pub(crate) may_defer: bool,
    /// The longest time for which a handler may keep the thread. `None`: no limit.
    pub(crate) handler_max: Option<Duration>,
    /// An open transaction of a previous owner can block recovery, and recovery aborts it by fencing the owner.
    pub(crate) fences: bool,
    /// Our rows are contiguous in the changelog, so that a gap between them is a foreign row. With transactions, gaps
    /// are transaction markers, and there are no foreign rows.
    pub(crate) finds_gaps: bool,
    /// The positions in the local copy may be ahead of the group's, at the instance that committed last.
    pub(crate) copy_may_lead: bool,
}

impl Rules {
    pub(crate) const AT_LEAST_ONCE: Rules = Rules {
        may_defer: true,
        handler_max: None,
        fences: false,
        finds_gaps: true,
        copy_may_lead: true,
    };

    /// `handler_max`: half of `transaction.timeout.ms`.
    pub(crate) fn exactly_once(handler_max: Duration) -> Self {
        Rules {
            may_defer: false,
            handler_max: Some(handler_max),
            fences: true,
            finds_gaps: false,
            copy_may_lead: false,
        }
    }
}
