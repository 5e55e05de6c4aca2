//! Runs processors: an [`App`] checks their topics, joins their groups and starts their workers.
//!
//! [`App::run`] runs until a signal asks the program to end. [`App::start`] returns a [`Running`] that the program
//! keeps: it shows the state of each partition ([`Stats`]), starts visits, and stops the processors. A
//! [`ProcessorHandle`] reads the table of one processor. [`App::reset`] sends a group back to the begin or the end of
//! its inputs ([`ResetTo`]).
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
