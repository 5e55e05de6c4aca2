//! Local copies of tables, one LMDB environment per partition. The only folder that names heed.
//!
//! Rows and the position that they belong to are committed in one LMDB transaction. Only the rows of a batch that is
//! stored in parts are ahead of the position for a while (see `header.rs`). Keys and values are bytes. Must not know
//! Kafka.

mod batch;
mod beside;
mod bucket;
mod environment;
mod expiry;
mod header;
mod identity;
mod key;
mod local_copy;
mod mark;
mod moment;
mod open;
mod position;
mod private;
mod problem;
mod rebuild;
mod registry;
mod rows;
mod scan;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod unused;

pub(crate) use self::{
    batch::PART_PAGES,
    identity::Identity,
    local_copy::Store,
    moment::Moment,
    open::Options,
    position::Position,
    scan::Span,
    snapshot::{Snapshot, Snapshots},
    state::StateDir,
    unused::Unused,
};
