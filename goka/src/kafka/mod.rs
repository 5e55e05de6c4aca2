//! Access to Kafka with rdkafka, which no other folder names. This folder implements the traits that the engine needs
//! ([`crate::engine::port`]), and offers what applications need in addition: emitters, topics, resets, the embedded
//! broker. It moves bytes, and must not know types, codecs or handlers.
//!
//! Callers use *logical* topic and group names. Only this folder knows the physical names, which result from the
//! prefix and the renames. Errors and logs show the physical names.
//!
//! | folder | contents | imports |
//! |---|---|---|
//! | `embedded.rs` | the embedded broker | |
//! | `client/` | settings, names, log and connections of all clients | `embedded.rs` |
//! | `native/` | what rdkafka does not offer: librdkafka's queues, records and requests | `client/` |
//! | `produce/` | producers for workers and for emitters | `client/`, `native/` |
//! | `reader.rs` | a consumer of one topic that joins no group | `client/`, `native/` |
//! | `member/` | a worker's connection: group member, producer, transactions | all of the above |
//! | `cluster.rs` | opens members and readers | all of the above |
//! | `cuts.rs` | the committed offsets of a group, for programs that are no members | `client/`, `native/`, `cluster.rs` |
//! | `admin/` | topics, groups, resets | `cluster.rs` |

mod admin;
mod client;
mod cluster;
mod cuts;
mod embedded;
mod member;
mod native;
mod produce;
mod reader;

#[cfg(any(test, feature = "tester"))]
pub(crate) use self::produce::outbox::Collect;
pub use self::{admin::operating::ResetTo, embedded::EmbeddedBroker};
pub(crate) use self::{
    admin::topics::{COMPACTION_LAG_MS, TopicInfo},
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
