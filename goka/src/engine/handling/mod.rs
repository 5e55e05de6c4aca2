//! One record: its handler, and what follows from it.

pub(crate) mod blocking;
pub(crate) mod deferred;
pub(crate) mod failure;
pub(crate) mod policy;
pub(crate) mod visiting;
pub(crate) mod waiting;
