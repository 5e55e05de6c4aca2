//! One record: its handler is called, and what the handler did takes effect, is held back, or is replaced by what a
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

pub(crate) use call::Call;
pub(crate) use deferred::Oldest;
pub(crate) use state::Handling;
pub(crate) use waiting::Next;
