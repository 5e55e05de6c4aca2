//! What a guarantee means for the modules that do not commit. The rules are made once, together with the commit
//! protocol: no other code of the engine matches on the guarantee.

use std::time::Duration;

/// The rules that a guarantee sets for a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether handlers may defer their records (`ctx.defer()`).
    pub(crate) may_defer: bool,
    /// The longest time for which a handler may keep the worker's thread. `None`: no limit.
    pub(crate) handler_max: Option<Duration>,
    /// Whether an open transaction of a previous owner can block recovery. Recovery aborts such a transaction by
    /// fencing the previous owner.
    pub(crate) fences: bool,
    /// Whether our rows are contiguous in the changelog, so that a gap between them is a foreign row (a row that a
    /// zombie wrote). With transactions, gaps are transaction markers, and there are no foreign rows.
    pub(crate) finds_gaps: bool,
    /// Whether rows that are sent before a partition is claimed take effect only together with the claim.
    pub(crate) claims_with_rows: bool,
}

impl Rules {
    pub(crate) const AT_LEAST_ONCE: Rules = Rules {
        may_defer: true,
        handler_max: None,
        fences: false,
        finds_gaps: true,
        claims_with_rows: false,
    };

    /// The rules of exactly-once. `handler_max` is half of `transaction.timeout.ms`.
    pub(crate) fn exactly_once(handler_max: Duration) -> Self {
        Rules {
            may_defer: false,
            handler_max: Some(handler_max),
            fences: true,
            finds_gaps: false,
            claims_with_rows: true,
        }
    }
}
