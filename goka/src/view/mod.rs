//! Views: a local, read-only copy of a whole group table, for services to answer from. No macro is
//! needed: the table's type says it all. Must not know how the copy is kept up to date.

mod rows;
mod snapshot;
mod state;
mod updates;
mod watch;

use std::{fmt, marker::PhantomData, ops::RangeBounds, pin::Pin, sync::Arc};

pub use self::{
    rows::{Rows, SnapshotRows},
    snapshot::ViewSnapshot,
    state::{ViewPartition, ViewState, ViewStates, ViewStats},
    updates::{Update, Updates},
    watch::Watch,
};
use crate::{
    app::{
        blocking,
        home::Home,
        replicas::{self, TableSource},
    },
    base::{
        config::Config,
        error::{BoxError, Error, Result},
        excerpt,
    },
    engine::replica::{Replica, Wanted},
    kafka::Cluster,
    store::Snapshot,
    typed::{
        codec::Codec,
        context::KeyOf,
        key::Key,
        topic::{SharedTable, Topic},
        undecoded::Undecoded,
    },
};

/// A local copy of the table `T`, kept up to date in the background. Cheap to clone; the copy goes
/// on while one clone is left, or something that came from one: an iterator, a snapshot, a watch.
///
/// Reads never wait for Kafka: they answer from the local copy, also while the broker is away, and
/// while the view recovers they see what is there so far. See [`recovered`](Self::recovered).
///
/// Views of one table in one process share one copy, with its joins and lookups.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # async fn serve(config: goka::Config) -> goka::Result {
/// let view = goka::View::<Clicks>::open(&config).await?;
/// view.recovered().await?;
/// println!("alice clicked {:?} times", view.get("alice")?);
/// for row in view.prefix("b") {
///     let (user, clicks) = row?;
///     println!("{user} {clicks}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct View<T> {
    shared: Arc<Shared>,
    table: PhantomData<fn() -> T>,
}

/// What the clones of a view share.
struct Shared {
    // Before the replica, which it does not keep.
    _wanted: Vec<Wanted>,
    replica: Arc<Replica>,
    /// To connect again, and ask for the ends of partitions: a connection that is kept costs
    /// threads, and time to close. `None` for a view that a tester keeps up to date.
    config: Option<Config>,
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        View {
            shared: self.shared.clone(),
            table: PhantomData,
        }
    }
}

impl<T> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}

impl<T> View<T> {
    /// Opens the local copy and begins to bring it up to date, in the background.
    ///
    /// # Errors
    /// If no broker answers within 10 seconds, the table's topic does not exist (the processor of
    /// its group creates it), or the local copy cannot be opened.
    // Boxed: the bounds of an `async fn` are asked again where it is awaited, and a table that does
    // not fit would be two errors.
    pub fn open(config: &Config) -> Pin<Box<dyn Future<Output = Result<Self>> + Send>>
    where
        T: SharedTable,
    {
        let config = config.clone();
        Box::pin(async move {
            let view = blocking("open a view", move || Self::open_now(&config)).await?;
            view.all(|replica, n| replica.state(n).is_some()).await?;
            Ok(view)
        })
    }

    fn open_now(config: &Config) -> Result<Self>
    where
        T: SharedTable,
    {
        let cluster = Cluster::connect(config)?;
        let home = Home::open(config, &cluster)?;
        let replica = replicas::open(&cluster, &home, &TableSource::of::<T>())?;
        Ok(Self::of(replica, Some(config.clone())))
    }

    /// Reads all partitions of a replica.
    pub(crate) fn of(replica: Arc<Replica>, config: Option<Config>) -> Self {
        let shared = Shared {
            _wanted: replica.want_all(),
            replica,
            config,
        };
        View {
            shared: Arc::new(shared),
            table: PhantomData,
        }
    }

    /// Gives up this clone. If nothing else of this process reads the table, its local copy is
    /// closed, and that is waited for: so does dropping the view, but it blocks the thread for some
    /// 100 ms, which async code should not.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub async fn close(self) -> Result {
        let shared = self.shared;
        blocking("close a view", move || {
            drop(shared);
            Ok(())
        })
        .await
    }

    fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// The physical one.
    fn topic(&self) -> &str {
        &self.replica().spec().identity.topic
    }

    fn failed(&self) -> Option<Error> {
        self.replica().check().err()
    }

    fn partitions(&self) -> std::ops::Range<i32> {
        0..self.replica().partitions()
    }
}

impl<T: Topic> View<T> {
    /// The value at `key`, `None` if there is none.
    ///
    /// # Errors
    /// If the value does not decode, or the local copy cannot be read.
    pub fn get(&self, key: &KeyOf<T>) -> Result<Option<T::Value>> {
        let key = self.place(key);
        let snapshot = self.replica().snapshot(key.partition)?;
        let value = snapshot.get(&key.bytes)?;
        value
            .map(|value| self.decode(&key.bytes, value))
            .transpose()
    }

    /// Whether there is a value at `key`. It is not decoded.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn has(&self, key: &KeyOf<T>) -> Result<bool> {
        let key = self.place(key);
        let snapshot = self.replica().snapshot(key.partition)?;
        Ok(snapshot.get(&key.bytes)?.is_some())
    }

    /// The values at `keys`, in their order: those of one partition as of one moment, and with less
    /// work than one after the other.
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # fn read(view: &goka::View<Clicks>) -> goka::Result {
    /// let clicks = view.get_many(["alice", "bob"])?;
    /// println!("alice {:?}, bob {:?}", clicks[0], clicks[1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a value does not decode, or the local copy cannot be read.
    pub fn get_many<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k KeyOf<T>>,
    ) -> Result<Vec<Option<T::Value>>>
    where
        KeyOf<T>: 'k,
    {
        let mut moments: Vec<Option<Snapshot>> = self.partitions().map(|_| None).collect();
        let value = |key| {
            let key = self.place(key);
            let moment = &mut moments[key.index()];
            if moment.is_none() {
                *moment = Some(self.replica().snapshot(key.partition)?);
            }
            let value = moment.as_ref().map(|moment| moment.get(&key.bytes));
            let value = value.transpose()?.flatten();
            value
                .map(|value| self.decode(&key.bytes, value))
                .transpose()
        };
        keys.into_iter().map(value).collect()
    }

    /// All rows, in ascending order of the bytes of their keys (text order for `String`; integers
    /// are decimal text), or from the end with [`rev`](Iterator::rev). Each partition is read in
    /// chunks: a row that is written while the iterator runs may be seen or not. For rows of one
    /// moment, take a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// Each item may be one: a row that does not decode, or a copy that cannot be read, which is
    /// the last item.
    pub fn iter(&self) -> Rows<T> {
        Rows::new(self.clone(), rows::ALL)
    }

    /// The rows whose keys lie in `range`, as [`iter`](Self::iter).
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # fn read(view: &goka::View<Clicks>) -> goka::Result {
    /// // The last three whose names begin with a, b or c.
    /// for row in view.range("a".."d").rev().take(3) {
    ///     let (user, clicks) = row?;
    ///     println!("{user} {clicks}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn range<'k, R>(&self, range: R) -> Rows<T>
    where
        R: RangeBounds<&'k KeyOf<T>>,
        KeyOf<T>: 'k,
    {
        Rows::new(self.clone(), rows::range::<T, R>(&range))
    }

    /// The rows whose keys begin with these bytes (text, for `String`), as [`iter`](Self::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Rows<T> {
        Rows::new(self.clone(), rows::prefix(prefix.as_ref()))
    }

    /// A moment of the table, for many reads.
    ///
    /// # Errors
    /// If the local copy cannot be read, or 4096 snapshots of it are held already.
    pub fn snapshot(&self) -> Result<ViewSnapshot<T>> {
        ViewSnapshot::take(self.clone())
    }

    /// The value at `key`, to be looked at whenever it changes.
    pub fn watch(&self, key: &KeyOf<T>) -> Watch<T> {
        Watch::new(self.clone(), self.place(key).bytes)
    }

    /// Every row that becomes visible to reads from now on.
    pub fn updates(&self) -> Updates<T> {
        Updates::new(self.clone())
    }

    fn place(&self, key: &KeyOf<T>) -> Place {
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let partition = T::PARTITIONER.partition(&bytes, self.replica().partitions());
        Place { partition, bytes }
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<T::Value> {
        T::Codec::decode(value).map_err(|source| {
            let source = Undecoded::new(<T::Codec as Codec<T::Value>>::name(), value, source);
            self.undecodable("value", key, source.into())
        })
    }

    fn decode_key(&self, key: &[u8]) -> Result<T::Key> {
        T::Key::decode(key).map_err(|source| self.undecodable("key", key, source))
    }

    /// Says in which row.
    fn undecodable(&self, what: &str, key: &[u8], source: BoxError) -> Error {
        let (key, source) = (excerpt::key(key), excerpt::text(source.to_string()));
        let source = format!("the {what} of the row `{key}`: {source}");
        Error::decode(self.topic())(source.into())
    }
}

/// Where a key is.
struct Place {
    partition: i32,
    bytes: Vec<u8>,
}

impl Place {
    fn index(&self) -> usize {
        usize::try_from(self.partition).expect("partitioners give a partition that there is")
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

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

    #[test]
    fn a_prefix_ends_before_the_next() {
        let to = |prefix: &[u8]| rows::prefix(prefix).1;
        assert_eq!(to(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(to(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(to(&[255]), Bound::Unbounded);
        assert_eq!(to(b""), Bound::Unbounded);
    }
}
