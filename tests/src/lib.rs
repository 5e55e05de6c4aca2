//! What the integration tests stand on: a broker, plain clients that read and write topics without goka, programs run
//! as child processes, and a proxy that counts bytes.
//!
//! Nothing here uses goka: what it did is judged by means of its own. Everything here panics with a sentence when it
//! cannot do its work, since the only callers are tests.

mod application;
mod broker;
mod clicks;
pub mod http;
mod kafka;
mod model;
mod program;
mod proxy;
pub mod stored;
mod topic;

pub use application::Application;
pub use broker::{Broker, broker, needs_kafka, unique};
pub use clicks::Clicks;
pub use kafka::{Kafka, kafka_tool};
pub use model::{count_by_key, last_values};
pub use program::{Program, example, this_test};
pub use proxy::Proxy;
pub use topic::{
    Message, Record, an_hour_ago, commit_offset, produce, read_topic, read_until, visit_topic,
    wait_for_records, wait_for_values,
};

use std::time::Duration;

/// How long anything may take before a test gives up. Far above what it takes: a slow machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(60);
