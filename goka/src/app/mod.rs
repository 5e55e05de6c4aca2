//! Runs processors: an [`App`] checks their topics, joins their groups and starts their workers.
//!
//! [`App::run`] runs until the program gets SIGINT or SIGTERM. [`App::start`] returns a [`Running`], with which the
//! program reads statistics ([`Stats`]), starts visits, and stops the processors. A [`ProcessorHandle`] reads the table
//! of one processor. [`App::reset`] resets groups to the start or the end of their inputs ([`ResetTo`]).
//!
//! If a worker fails, the other workers commit and stop, and `run` returns the error.

pub(crate) mod blocking;
mod builder;
mod copies;
mod group;
mod handle;
pub(crate) mod home;
mod launch;
mod leftovers;
mod orphans;
pub(crate) mod replicas;
mod reset;
mod running;
mod signals;
mod together;
pub(crate) mod topology;
mod watched;

pub use self::{
    builder::App,
    group::{GroupStats, Stats},
    handle::ProcessorHandle,
    running::Running,
};

pub use crate::{base::state::PartitionState, kafka::ResetTo};
