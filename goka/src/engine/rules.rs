//! What a guarantee means for the rooms that do not commit. Made once, with the protocol, so that only `commit/` asks
//! for the guarantee.

use std::time::Duration;

/// The rules of a guarantee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Handlers may hold their records back (`ctx.defer()`).
    pub(crate) may_defer: bool,
    /// A handler may keep the thread for so long; `None`: for as long as it likes.
    pub(crate) handler_max: Option<Duration>,
    /// A transaction of a previous owner can hold up recovery, and is fenced then.
    pub(crate) fences: bool,
    /// Our rows are contiguous in a changelog, so that a gap between them is a foreign row. With transactions there are
    /// markers between them, and nobody else's rows.
    pub(crate) finds_gaps: bool,
    /// The local copy may be ahead of the group, at the instance that committed last.
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

    /// `handler_max`: half of the time for which a transaction may be open.
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
