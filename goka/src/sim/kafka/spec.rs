//! The description of a worker that connects to a world, and the points where a test may stop it. Must not know what a
//! connection does.

use std::rc::Rc;

use crate::{base::error::Error, engine::port::Step};

/// A point where a test may pause or end a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The worker has reached a step of the commit protocol.
    Reached(Step),
    /// The worker is about to hand a record to its producer.
    Sends,
    /// The worker is about to send a request to the brokers, or to wait for them.
    Asks,
}

/// Called at every point that a worker passes. An error ends the process there.
pub(crate) type OnPoint = Rc<dyn Fn(Point) -> Result<(), Error>>;

/// A worker that connects.
pub(crate) struct ConnectionSpec {
    /// Name of the connection, for traces and for [`super::World::fail_deliveries`].
    pub(crate) name: String,
    pub(crate) group: String,
    /// `group.instance.id` of a static member.
    pub(crate) instance: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) targets: Vec<String>,
    /// The changelog.
    pub(crate) table: Option<String>,
    /// Set for exactly-once.
    pub(crate) transactional_id: Option<String>,
    pub(crate) on_point: Option<OnPoint>,
}
