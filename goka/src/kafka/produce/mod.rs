//! Producers of workers, and those behind emitters.

mod lanes;
pub(crate) mod outbox;
pub(crate) mod producer;
