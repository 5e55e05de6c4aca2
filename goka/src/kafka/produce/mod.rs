//! Producers: those of workers, and those that emitters share.

mod lanes;
pub(crate) mod outbox;
pub(crate) mod producer;
