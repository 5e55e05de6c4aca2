//! Counts the kills and pauses of a run, and measures how long partitions took until they ran again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};

#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Number of kills with SIGKILL at random moments.
    pub(crate) kills: u32,
    /// Number of kills with SIGKILL at each point of the commit protocol.
    pub(crate) kills_at: BTreeMap<&'static str, u32>,
    /// Number of pauses with SIGSTOP, each ended with SIGCONT.
    pub(crate) pauses: u32,
    /// Number of shutdowns.
    pub(crate) ends: u32,
    /// Number of kills after which the state directory was deleted.
    pub(crate) states_deleted: u32,
    pub(crate) broker_kills: u32,
    /// Times from the start of a process until it runs all partitions that it ran before it ended.
    #[serde(rename = "restart_ms")]
    pub(crate) restarts: Times,
    /// Times from the kill of a process until all its partitions run in other processes.
    #[serde(rename = "failover_ms")]
    pub(crate) failovers: Times,
}

impl Tally {
    /// Number of kills and pauses of processes.
    pub(crate) fn disturbances(&self) -> u32 {
        self.kills + self.kills_at.values().sum::<u32>() + self.pauses
    }

    /// The points of the commit protocol at which no process was killed.
    pub(crate) fn never_hit(&self) -> impl Iterator<Item = &'static str> {
        let points = self.kills_at.iter();
        points.filter_map(|(point, kills)| (*kills == 0).then_some(*point))
    }

    pub(crate) fn crashed_at(&mut self, point: &'static str) {
        *self.kills_at.entry(point).or_default() += 1;
    }
}

/// Durations, serialized as their count, median and maximum.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn shown(&self) -> Shown {
        let mut times: Vec<u128> = self.0.iter().map(Duration::as_millis).collect();
        times.sort_unstable();
        Shown {
            count: times.len(),
            median: times.get(times.len() / 2).copied(),
            max: times.last().copied(),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    count: usize,
    median: Option<u128>,
    max: Option<u128>,
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}
