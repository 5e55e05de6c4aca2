//! Kafka with rdkafka, in the only folder that names rdkafka. It implements what the engine needs
//! ([`crate::engine::port`]), and what applications need besides: emitters, topics, resets, the embedded broker. It
//! moves bytes, and must not know types, codecs or handlers.
//!
//! Callers use *logical* topic and group names. Only this folder knows the physical names (prefix, renames), which
//! appear in errors and logs.
//!
//! | folder | contents | imports |
//! |---|---|---|
//! | `embedded.rs` | the embedded broker | |
//! | `client/` | settings, names, log and connections of all clients | `embedded.rs` |
//! | `native/` | librdkafka's queues, records and requests, where rdkafka does not offer them | `client/` |
//! | `produce/` | producers of workers, and of emitters | `client/`, `native/` |
//! | `reader.rs` | reading one topic outside any group | `client/`, `native/` |
//! | `member/` | a worker's connection: group member, producer, transactions | all of the above |
//! | `cluster.rs` | opens members and readers | all of the above |
//! | `admin/` | topics, groups, resets | `cluster.rs` |

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
