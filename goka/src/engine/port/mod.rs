//! The port: everything that the engine needs from Kafka, as traits. The engine calls a `&dyn Kafka`, and never a
//! broker directly.
//!
//! | trait | what the engine asks of it |
//! |---|---|
//! | [`Clock`] | a clock that runs while the machine sleeps, and the wall clock |
//! | [`Member`] | membership in a consumer group: rebalances, fetched records, committed offsets |
//! | [`Producer`] | records to produce, and their delivery reports |
//! | [`Transactions`] | exactly-once: records and offsets that take effect together |
//! | [`Cuts`] | the committed offsets of a group, for readers that are no members |
//! | [`Reader`] | one topic, read outside any group: a changelog, or the table of another group |
//! | [`Kafka`] | a worker's whole connection: all of the above |
//!
//! Two implementations exist: `kafka/` with librdkafka, and `sim/kafka/` in memory, for simulations and the tester. A
//! test double has to implement only what it uses: the methods that a connection without transactions or without
//! rebalances has no use for have defaults.
//!
//! The port uses indices instead of names. A *source* is a topic whose records the group handles (the group's inputs,
//! then its loop); a [`SourceIx`](crate::base::index::SourceIx) is the index of a source in the list with which the
//! connection was opened. A *target* is a topic to which the worker produces; the index of a target in the list of
//! targets is the index of its edge in the graph, an [`EdgeIx`](crate::base::index::EdgeIx). Partition `n` of the
//! group is partition `n` of every source and of the changelog.
//!
//! The steps of the commit protocol ([`Step`]), the points where a test kills the process ([`crash`]) and the bugs that
//! a test plants ([`fault`]) are part of the port, because both implementations offer them. Must not know rdkafka.

mod clock;
pub(crate) mod crash;
mod cuts;
pub(crate) mod fault;
mod kafka;
mod member;
mod offsets;
mod producer;
mod reader;
mod step;
mod transactions;

pub(crate) use self::{
    clock::Clock,
    cuts::{Cuts, GroupCommits},
    kafka::Kafka,
    member::{CommitError, Event, Keys, Member, Unstable, is_unstable},
    offsets::{Committed, GroupOffsets, Log, OURS, Position},
    producer::{Outgoing, Producer, Report, SendError, Undelivered},
    reader::{Reader, TableEvent},
    step::Step,
    transactions::Transactions,
};
