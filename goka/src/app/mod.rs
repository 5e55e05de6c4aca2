//! A program's processors, run together: topics are checked, workers are threads, and one failure
//! stops all of them in good order.

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
