//! What rdkafka keeps to itself of librdkafka: its queues of events.
//!
//! rdkafka's own loops are not used because they lose the partition of a consumer's error (which
//! partition is out of range?), allocate for every record and for every name of a topic, and wait
//! until their deadline even when everything has come. All `unsafe` of clients is in here and in the
//! files below. They must not know groups, assignments or names.

pub(crate) mod event;
pub(crate) mod fetch;
pub(crate) mod message;
pub(crate) mod produce;
mod raw;
pub(crate) mod request;
pub(crate) mod transaction;
