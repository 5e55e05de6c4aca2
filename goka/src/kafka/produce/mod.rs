//! The producers of workers, and the producers behind emitters.

mod lanes;
pub(crate) mod outbox;
pub(crate) mod producer;
