//! Reads tables in any program: a [`View`] is a local, read-only copy of a whole table, and follows the table's
//! changelog.
//!
//! | to | see |
//! |---|---|
//! | open a view of all rows, or only of committed rows | [`View::open`], [`View::open_committed`] |
//! | read a row, or rows in key order | [`View::get`], [`View::iter`], [`Rows`] |
//! | read several rows as of one moment | [`View::snapshot`], [`ViewSnapshot`] |
//! | wait for a row to change | [`View::watch`], [`Watch`] |
//! | follow all changes | [`View::updates`], [`Updates`] |
//! | know whether the copy is up to date, and its consumer lag | [`ViewState`], [`ViewStats`] |

// Must not know how the copy is kept up to date.

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
mod committed_tests;
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
