//! Measures time, CPU time and memory of this process, which passes these values to the process that reports them.
//!
//! Memory is read from `/proc`, and so only on Linux.

use std::{
    fs,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The values that one measurement yields.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    /// User and system CPU time of the process, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Peak anonymous memory, in MiB; `None` if it could not be read.
    pub(crate) peak_anonymous_mib: Option<f64>,
    /// Peak memory that maps files, such as pages of tables, in MiB. The system reclaims such memory when needed.
    pub(crate) peak_file_mib: Option<f64>,
    /// Values that only this kind of measurement has.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// Combines the values of two processes that shared one task.
    pub(crate) fn together(self, other: Measured) -> Measured {
        let both = |one: Option<f64>, other: Option<f64>| Some(one? + other?);
        Measured {
            messages: self.messages,
            seconds: self.seconds.max(other.seconds),
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            peak_anonymous_mib: both(self.peak_anonymous_mib, other.peak_anonymous_mib),
            peak_file_mib: both(self.peak_file_mib, other.peak_file_mib),
            more: self.more,
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Measured {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// A measurement that has begun and not ended.
pub(crate) struct Meter {
    cpu: Duration,
    stop: Sender<()>,
    peaks: JoinHandle<Option<Memory>>,
}

impl Meter {
    pub(crate) fn start() -> Meter {
        let (stop, stopped) = channel();
        let peaks = thread::spawn(move || {
            let mut peaks = Memory::now()?;
            loop {
                peaks = peaks.max(Memory::now()?);
                match stopped.recv_timeout(Duration::from_millis(20)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return Some(peaks),
                }
            }
        });
        Meter {
            cpu: cpu_now(),
            stop,
            peaks,
        }
    }

    /// Ends the measurement, and returns its values: `messages` messages were processed from `begun` to `done`.
    pub(crate) fn stop(self, messages: u64, begun: Instant, done: Instant) -> Measured {
        let cpu = cpu_now().saturating_sub(self.cpu);
        drop(self.stop);
        let peaks = self.peaks.join().ok().flatten();
        Measured {
            messages,
            seconds: done.duration_since(begun).as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
            peak_anonymous_mib: peaks.map(|peaks| peaks.anonymous),
            peak_file_mib: peaks.map(|peaks| peaks.file),
            more: Map::new(),
        }
    }
}

fn cpu_now() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Resident memory of this process, in MiB.
#[derive(Clone, Copy)]
struct Memory {
    anonymous: f64,
    file: f64,
}

impl Memory {
    fn now() -> Option<Memory> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Memory {
            anonymous: mib("RssAnon:")?,
            file: mib("RssFile:")?,
        })
    }

    fn max(self, other: Memory) -> Memory {
        Memory {
            anonymous: self.anonymous.max(other.anonymous),
            file: self.file.max(other.file),
        }
    }
}
