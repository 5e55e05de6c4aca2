//! Updates of a view: its rows as they change. Must not know how changes are found.

use std::{fmt, sync::Arc};

use crate::{
    base::error::Result,
    engine::replica::{Change, Feed, Taken},
    typed::topic::Topic,
    view::opened::View,
};

impl<T: Topic> View<T> {
    /// Subscribes to the updates of the view: to every row that changes from now on.
    pub fn updates(&self) -> Updates<T> {
        Updates::new(self.clone())
    }
}

/// An update of a view, from [`Updates::next`].
#[non_exhaustive]
pub enum Update<T: Topic> {
    /// A row was written or deleted. Reads of the view already see the change.
    Row {
        /// The key of the row.
        key: T::Key,
        /// The value of the row; `None` if the row was deleted.
        value: Option<T::Value>,
    },
    /// This many updates were dropped, because the subscriber did not take them in time. Reads of the view see the
    /// rows of the dropped updates; the updates that follow are newer than the dropped updates.
    Missed(u64),
    /// The local copy of a partition was rebuilt from the changelog, because goka could not continue the existing
    /// local copy: the topic was created again, or the view could not reach the broker for too long. Each row of the
    /// partition follows as an [`Update::Row`]; rows that do not follow were deleted. Until now, reads saw the old
    /// rows.
    Rebuilt {
        /// The partition.
        partition: i32,
    },
}

/// Subscription to the updates of a [`View`]. See [`View::updates`].
///
/// Updates of one key arrive in order. If several updates of a key become visible together, the subscription returns
/// only the last of them. While the view recovers, every row that is restored is an update.
///
/// Up to 16 MiB of updates wait until the subscriber takes them. Beyond that size, goka drops the oldest updates and
/// reports their number ([`Update::Missed`]), because the view does not wait for its subscribers.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # async fn follow(view: &goka::View<Clicks>) -> goka::Result {
/// let mut updates = view.updates();
/// loop {
///     match updates.next().await? {
///         goka::view::Update::Row { key, value } => println!("{key}: {value:?}"),
///         _ => println!("read everything again: {} rows", view.snapshot()?.len()?),
///     }
/// }
/// # }
/// ```
pub struct Updates<T> {
    view: View<T>,
    feed: Arc<Feed>,
}

impl<T: Topic> Updates<T> {
    fn new(view: View<T>) -> Self {
        let feed = view.replica().feed();
        Updates { view, feed }
    }

    /// Waits for the next update. Cancel safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode) if a row does not decode; the next call continues after this row.
    /// [`Error::Stale`](crate::Error::Stale) if the local copy is no longer updated; this error comes after the last
    /// update.
    pub async fn next(&mut self) -> Result<Update<T>> {
        loop {
            // Checked before the feed is read, so that updates from before the failure are still returned.
            let failed = self.view.failed();
            match (self.feed.take(), failed) {
                (Some(taken), _) => return self.typed(&taken),
                (None, Some(failed)) => return Err(failed),
                (None, None) => self.feed.added.notified().await,
            }
        }
    }

    fn typed(&self, taken: &Taken) -> Result<Update<T>> {
        let change = match taken {
            Taken::Missed(count) => return Ok(Update::Missed(*count)),
            Taken::Change(change) => change,
        };
        match &**change {
            Change::Rebuilt(partition) => Ok(Update::Rebuilt {
                partition: *partition,
            }),
            Change::Row(key, value) => Ok(Update::Row {
                key: self.view.decode_key(key)?,
                value: match value {
                    Some(value) => Some(self.view.decode(key, value)?),
                    None => None,
                },
            }),
        }
    }
}

impl<T> fmt::Debug for Updates<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

impl<T: Topic> fmt::Debug for Update<T>
where
    T::Key: fmt::Debug,
    T::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Update::Row { key, value } => {
                let mut row = f.debug_struct("Row");
                row.field("key", key).field("value", value).finish()
            }
            Update::Missed(count) => f.debug_tuple("Missed").field(count).finish(),
            Update::Rebuilt { partition } => {
                let mut rebuilt = f.debug_struct("Rebuilt");
                rebuilt.field("partition", partition).finish()
            }
        }
    }
}
