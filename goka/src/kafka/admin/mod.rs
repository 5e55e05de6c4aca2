//! What is asked of a cluster, and done to it, beside reading and writing: topics, groups, and resets.

pub(crate) mod groups;
pub(crate) mod operating;
mod orphans;
pub(crate) mod topics;
