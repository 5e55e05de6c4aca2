//! Views: a local, read-only copy of a whole group table, for services to answer from. No macro is
//! needed: the table's type says it all. Must not know how the copy is kept up to date.

mod merge;
mod opened;
mod rows;
mod snapshot;
mod state;
mod updates;
mod watch;

pub use self::{
    opened::View,
    rows::Rows,
    snapshot::{SnapshotRows, ViewSnapshot},
    state::{ViewPartition, ViewState, ViewStates, ViewStats},
    updates::{Update, Updates},
    watch::Watch,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[goka::table(group = "my-group", value = i64)]
    struct Clicks;

    #[test]
    fn what_may_leave_its_thread() {
        fn send<T: Send + 'static>() {}
        fn send_and_sync<T: Send + Sync + Clone + 'static>() {}
        send_and_sync::<View<Clicks>>();
        send::<ViewSnapshot<Clicks>>();
        send::<Rows<Clicks>>();
        send::<Watch<Clicks>>();
        send::<Updates<Clicks>>();
        send::<ViewStates<Clicks>>();
    }
}
