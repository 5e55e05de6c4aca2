//! Kafka in memory: topics, groups, producers and a clock, in one thread and without a network.
//!
//! The Kafka in memory behaves as brokers and librdkafka do wherever the engine could notice. Partitions move in two
//! steps. A member that is silent for too long is expelled, and learns of it later. Records take time to arrive, and
//! may be written after their sender died. A delivery report may get lost although its record was written. All of this
//! happens in virtual time, which passes only while a caller waits. One seed gives one run. Must not know the engine:
//! it sees only the traits of [`crate::engine::port`].

mod chance;
mod committing;
mod connection;
mod coordinator;
mod cuts;
mod deciding;
mod fetching;
mod group;
mod log;
mod mailbox;
mod membership;
mod positions;
mod producer;
mod reader;
#[cfg(test)]
mod simulated;
mod spec;
mod state;
#[cfg(test)]
mod tests;
mod transacting;
mod world;
mod writer;

pub(crate) use self::{
    chance::Chance,
    mailbox::Mailbox,
    spec::{ConnectionSpec, Point},
    state::Settings,
    world::{TEST, World},
};
#[cfg(test)]
pub(crate) use self::{
    connection::Connection, log::Written, positions::CommitEntry, state::Mishaps,
};
