//! Functions of librdkafka that goka needs but rdkafka does not offer: event queues, batches of records, requests,
//! transactions.
//!
//! goka does not use rdkafka's polling loops, because these lose the partition of a consumer's error (such as "out of
//! range"), allocate for every record and every topic name, and wait until their deadline even if everything that they
//! wait for has come. All `unsafe` code of clients is in this folder. These files must not know groups, assignments or
//! names.

pub(crate) mod event;
pub(crate) mod fetch;
pub(crate) mod group_offsets;
pub(crate) mod listed;
pub(crate) mod message;
pub(crate) mod produce;
mod raw;
pub(crate) mod request;
pub(crate) mod transaction;
