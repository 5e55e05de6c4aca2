//! What every module of the engine may use: the connection, the graph, the settings and the time. Must not hold the
//! state of a partition.

use std::{cell::Cell, time::Duration};

use crate::{
    base::index::{EdgeIx, SourceIx},
    engine::{edges::Edges, port::Kafka, spec::Spec},
};

/// What a worker owns and lends to the modules as [`Env`]. Contains no state of a partition.
pub(crate) struct Surroundings {
    spec: Spec,
    edges: Edges,
    time: Cell<Duration>,
}

impl Surroundings {
    pub(crate) fn new(spec: Spec, now: Duration) -> Self {
        Surroundings {
            edges: Edges::new(&spec),
            spec,
            time: Cell::new(now),
        }
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn env<'a>(&'a self, kafka: &'a dyn Kafka) -> Env<'a> {
        Env {
            kafka,
            spec: &self.spec,
            edges: &self.edges,
            time: &self.time,
        }
    }
}

/// References to the surroundings of a worker and to its connection. Each call gets a copy of these references.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) kafka: &'a dyn Kafka,
    pub(crate) spec: &'a Spec,
    pub(crate) edges: &'a Edges,
    time: &'a Cell<Duration>,
}

impl<'a> Env<'a> {
    /// The time of the last [`tick`](Self::tick).
    pub(crate) fn now(&self) -> Duration {
        self.time.get()
    }

    /// Reads the clock, and sets the time that `now` returns.
    pub(crate) fn tick(&self) -> Duration {
        let now = self.kafka.now();
        self.time.set(now);
        now
    }

    pub(crate) fn group(&self) -> &'static str {
        self.spec.program.group()
    }

    /// The physical topic of a source.
    pub(crate) fn topic_of(&self, source: SourceIx) -> &'a str {
        self.topic(self.edges.of_source(source))
    }

    /// The physical topic of an edge.
    pub(crate) fn topic(&self, edge: EdgeIx) -> &'a str {
        &self.spec.topics[edge.index()]
    }

    /// The physical topic of the changelog; `""` for a group without a table.
    pub(crate) fn changelog(&self) -> &'a str {
        let table = self.edges.table();
        table.map_or("", |table| self.topic(table))
    }
}
