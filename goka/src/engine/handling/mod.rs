//! Handles one record: calls its handler, and then applies the effects, holds the effects back, or does what the error
//! policy says. Must not know when anything is committed, nor how a partition recovers.

mod apply;
mod call;
mod conclude;
mod deferred;
mod describe;
mod state;
mod visit;
mod visiting;
mod waiting;
mod woken;

pub(crate) use call::{Call, Callee};
pub(crate) use deferred::Oldest;
pub(crate) use state::Handling;
pub(crate) use waiting::Next;
