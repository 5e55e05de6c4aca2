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

/// A function that is called at every point that a worker passes. If it returns an error, the process ends there.
pub(crate) type OnPoint = Rc<dyn Fn(Point) -> Result<(), Error>>;

/// Describes a worker that connects.
pub(crate) struct ConnectionSpec {
    /// Name of the connection, for traces and for [`super::World::fail_deliveries`].
    pub(crate) name: String,
    pub(crate) group: String,
    /// `group.instance.id` of a static member.
    pub(crate) instance: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) targets: Vec<String>,
    /// The topic of the changelog.
    pub(crate) table: Option<String>,
    /// The transactional id; `None` unless the worker runs with exactly-once.
    pub(crate) transactional_id: Option<String>,
    pub(crate) on_point: Option<OnPoint>,
    /// Planted fault: a commit of which the group has refused some offsets is reported as taken.
    pub(crate) tears_commits: bool,
}
