//! The clock that a worker reads for every record. Must not know what the time is used for.

use std::{cell::Cell, time::Duration};

/// A clock that reads [`boot_time`] and caches it until the next tick of the system's coarse clock, that is, for a few
/// milliseconds. Reading the time of the last tick costs a tenth of reading the boot time. A process that was stopped
/// notices, wherever it continues, that the coarse clock has ticked.
#[derive(Default)]
pub(crate) struct BootClock {
    /// A tick of the coarse clock, and the time that was read after this tick.
    read: Cell<Option<(Duration, Duration)>>,
}

impl BootClock {
    pub(crate) fn now(&self) -> Duration {
        let tick = last_tick();
        match self.read.get() {
            Some((read_at, time)) if tick == Some(read_at) => time,
            _ => {
                let time = boot_time();
                self.read.set(tick.map(|tick| (tick, time)));
                time
            }
        }
    }
}

/// Time since the machine was started, including sleep.
pub(crate) fn boot_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = libc::CLOCK_BOOTTIME;
    // On macOS, this clock also runs during sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: the clock exists, and the result is written to a local variable.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The time of the last tick of the system's coarse clock; `None` on systems without a coarse clock.
fn last_tick() -> Option<Duration> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the clock exists, and the result is written to a local variable.
        let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
        let seconds = u64::try_from(time.tv_sec).ok()?;
        let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
        (done == 0).then(|| Duration::new(seconds, nanoseconds))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BootClock, boot_time};

    #[test]
    fn it_goes_on_with_the_time_and_never_ahead_of_it() {
        let clock = BootClock::default();
        let began = clock.now();
        let mut last = began;
        let deadline = Instant::now() + Duration::from_secs(60);
        while last <= began + Duration::from_millis(20) {
            let now = clock.now();
            assert!(now >= last && now <= boot_time());
            assert!(
                Instant::now() < deadline,
                "not within the deadline: the clock goes on"
            );
            last = now;
        }
    }
}
