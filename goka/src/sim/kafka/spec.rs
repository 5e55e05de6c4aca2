//! Who connects to a world, and where it may be stopped.
//!
//! Must not know what a connection does.

use std::rc::Rc;

use crate::{base::error::Error, engine::port::Step};

/// Where a worker may be stopped for a while, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// It got to a step of the commit protocol.
    Reached(Step),
    /// It is about to hand a record to its producer.
    Sends,
    /// It is about to ask the brokers, or to wait for them.
    Asks,
}

/// Called at every point that a worker comes by; an error ends the process there.
pub(crate) type OnPoint = Rc<dyn Fn(Point) -> Result<(), Error>>;

/// Who connects, and to what.
pub(crate) struct ConnectionSpec {
    /// For traces, and for [`super::World::fail_deliveries`].
    pub(crate) name: String,
    pub(crate) group: String,
    /// `group.instance.id`: who comes back under it gets its place back.
    pub(crate) instance: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) targets: Vec<String>,
    /// The group table's topic.
    pub(crate) table: Option<String>,
    /// Exactly-once.
    pub(crate) transactional_id: Option<String>,
    pub(crate) on_point: Option<OnPoint>,
}
