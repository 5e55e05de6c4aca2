//! The clocks that a worker reads. The clocks are part of the port so that a simulation can decide what time it is.
//! Must not know what the time is used for.

use std::time::Duration;

/// The two clocks of a worker.
pub(crate) trait Clock {
    /// Time since an arbitrary origin. This clock runs on while the machine sleeps or the process is stopped
    /// (`CLOCK_BOOTTIME` on Linux): a worker that wakes up must notice that its session is over.
    fn now(&self) -> Duration;

    /// Wall clock, milliseconds since 1970.
    fn wall_ms(&self) -> i64;
}
