//! Plain data and errors that all of goka shares. Must not know any other part of goka.

pub(crate) mod block;
pub mod config;
pub(crate) mod dead_letter;
pub(crate) mod defer;
pub mod error;
pub(crate) mod excerpt;
pub(crate) mod index;
pub(crate) mod kind;
pub(crate) mod options;
pub(crate) mod partitioner;
pub mod policy;
pub(crate) mod record;
pub(crate) mod state;
