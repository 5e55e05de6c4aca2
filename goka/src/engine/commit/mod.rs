//! Intervals to Kafka and to disk.

mod at_least_once;
mod coalescing;
pub(crate) mod exactly_once;
pub(crate) mod offsets;
mod room;
