//! Support for the integration tests: a broker, plain clients that read and write topics without goka, programs that
//! run as child processes, and a proxy that counts bytes.
//!
//! Nothing here uses goka, so that tests check goka by independent means. All functions panic with a message on
//! failure, because only tests call them.

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

/// How long a test waits for an event before the test fails. It is far longer than events take, so that no test fails
/// only because the machine is slow.
pub const DEADLINE: Duration = Duration::from_secs(60);
