//! What all clients share: connections, settings, names and log. The ground floor of `kafka/`: of the rest of `kafka/`,
//! these files import only the embedded broker.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod log;
pub(crate) mod metadata;
pub(crate) mod names;
mod refused;
pub(crate) mod settings;
