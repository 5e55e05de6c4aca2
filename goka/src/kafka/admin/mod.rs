//! Administration of a cluster: topics, groups and resets.

pub(crate) mod groups;
pub(crate) mod operating;
mod orphans;
pub(crate) mod topics;
