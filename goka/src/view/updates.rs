//! The rows of a table as they change.

use std::{fmt, sync::Arc};

use crate::{
    base::error::Result,
    engine::replica::{Change, Feed, Taken},
    typed::topic::Topic,
    view::opened::View,
};

impl<T: Topic> View<T> {
    /// Every row that becomes visible to reads from now on.
    pub fn updates(&self) -> Updates<T> {
        Updates::new(self.clone())
    }
}

/// What [`Updates::next`] gives.
#[non_exhaustive]
pub enum Update<T: Topic> {
    /// A row was written, or deleted, and reads see it.
    Row {
        /// Its key.
        key: T::Key,
        /// `None`: it was deleted.
        value: Option<T::Value>,
    },
    /// So many updates were dropped because they were not taken in time. What they told is in the
    /// view; the updates that follow are newer.
    Missed(u64),
    /// The local copy of a partition could not be topped up (its topic was made anew, or it was away
    /// for too long). Its rows were read anew, and each that there is now is an update to come; what is
    /// not among them is deleted. Until now reads gave the old ones.
    Rebuilt {
        /// Which one.
        partition: i32,
    },
}

/// The rows of a [`View`] as they change, from when it was asked for. See [`View::updates`].
///
/// Updates of one key come in order; several that become visible at once are one, the last. While
/// the view recovers, every row that is read is an update.
///
/// Up to 16 MiB of them wait to be taken. Then the oldest are dropped, and counted: the view waits
/// for nobody.
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

    /// Waits for the next one. Nothing is lost if the future is dropped before it is ready.
    ///
    /// # Errors
    /// A row that does not decode: the next call goes on behind it. And, behind the last update, if
    /// the view is no longer kept up to date.
    pub async fn next(&mut self) -> Result<Update<T>> {
        loop {
            // Asked before the last look: what came before it failed is still given.
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
