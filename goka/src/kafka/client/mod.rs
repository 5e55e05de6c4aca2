//! What all clients share: connections, settings, names and log. These files are the lowest layer of `kafka/`: of the
//! other files in `kafka/`, they import only the embedded broker.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod log;
pub(crate) mod metadata;
pub(crate) mod names;
mod refused;
pub(crate) mod settings;
