//! Kafka by rdkafka: the only folder that names it. It implements what the engine needs ([`crate::engine::port`]),
//! and what applications need besides: emitters, topics, resets, the embedded broker. It moves bytes, and must not
//! know types, codecs or handlers.
//!
//! Topic names that cross this border are *logical*; the physical ones (prefix, renames) are known on this side only,
//! and appear in errors and logs.

mod admin;
mod client;
mod cluster;
mod embedded;
mod member;
mod native;
mod produce;
mod reader;

#[cfg(any(test, feature = "tester"))]
pub(crate) use self::produce::outbox::Collect;
pub use self::{admin::operating::ResetTo, embedded::EmbeddedBroker};
pub(crate) use self::{
    admin::topics::TopicInfo,
    client::settings::{
        check as check_settings, message_timeout, session_timeout, transaction_timeout,
    },
    cluster::Cluster,
    member::spec::MemberSpec,
    produce::outbox::{Letter, Outbox, Receipt},
};

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
mod tests;
