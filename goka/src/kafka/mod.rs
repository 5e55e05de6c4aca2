//! Kafka by rdkafka: the only folder that names it. It implements what the engine needs ([`crate::engine::port`]),
//! and what applications need besides: emitters, topics, resets, the embedded broker. It moves bytes, and must not
//! know types, codecs or handlers.
//!
//! Topic names that cross this border are *logical*; the physical ones (prefix, renames) are known on this side only,
//! and appear in errors and logs.

mod assignment;
mod clock;
mod cluster;
mod embedded;
mod fence;
mod lanes;
mod leaving;
mod log;
mod member;
mod names;
mod native;
mod operating;
mod orphans;
mod outbox;
mod producer;
mod reader;
mod refused;
mod settings;
mod topics;
mod transactions;
mod uncommitted;
mod writer;

pub(crate) use cluster::{Cluster, MemberSpec};
pub use embedded::EmbeddedBroker;
pub use operating::ResetTo;
#[cfg(any(test, feature = "tester"))]
pub(crate) use outbox::Collect;
pub(crate) use outbox::{Letter, Outbox, Receipt};
pub(crate) use settings::{
    check as check_settings, message_timeout, session_timeout, transaction_timeout,
};
pub(crate) use topics::TopicInfo;

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
mod tests;
