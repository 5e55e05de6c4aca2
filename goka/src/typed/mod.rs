//! The typed surface of the crate: topics, keys, codecs, handlers and the graph that they form. The engine, the layer
//! below, sees only bytes and edges. Must not know Kafka.

pub(crate) mod attribute;
pub mod check;
pub mod codec;
pub(crate) mod context;
pub(crate) mod drawing;
pub(crate) mod edge;
pub(crate) mod graph;
pub(crate) mod key;
pub(crate) mod processor;
pub(crate) mod program;
pub(crate) mod topic;
#[cfg(any(test, feature = "tester"))]
pub(crate) mod typing;
pub(crate) mod undecoded;
