//! What all clients share: how they connect, what they log, and what Kafka calls things. The ground floor of `kafka/`:
//! its files import no other part of it but the embedded broker.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod log;
pub(crate) mod metadata;
pub(crate) mod names;
mod refused;
pub(crate) mod settings;
