//! An open view, and its reads of single keys. Must not know how the local copy is kept up to date.

use std::{fmt, marker::PhantomData, pin::Pin, sync::Arc};

use tokio::sync::watch;

use crate::{
    app::{
        blocking::blocking,
        home::Home,
        replicas::{self, Reads, TableSource},
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
        codec::{Codec, Prepare, Role},
        context::KeyOf,
        key::Key,
        topic::{SharedTable, Topic},
        undecoded::Undecoded,
    },
};

/// View of the table `T`: a local, read-only copy of the whole table, kept up to date in the background.
///
/// Reads never wait for Kafka: they use only the local copy, even while the broker does not answer. While the view
/// recovers, reads see only the rows that have been restored so far; to read the complete table, first wait for
/// [`recovered`](Self::recovered).
///
/// Clones are cheap. The local copy is kept up to date as long as there is a clone, or an iterator, a snapshot, a
/// watch or an [`Updates`](crate::view::Updates) of a clone. All views, joins and lookups of a table in a process
/// share one local copy. Views that show [only committed rows](Self::open_committed) share another one.
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
    // Dropped before `replica`, because a `Wanted` does not keep the replica alive.
    _wanted: Vec<Wanted>,
    replica: Arc<Replica>,
    /// The settings for a new connection that queries the end offsets of partitions. The view keeps no connection
    /// open for such queries, because an open connection costs threads and takes time to close. `None` for a view that
    /// a tester keeps up to date.
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
    /// Opens a view: opens the local copy of the table, and starts to bring it up to date in the background.
    ///
    /// # Errors
    /// If no broker answers within 10 seconds, the table topic does not exist (the processor that owns the table
    /// creates it), the local copy cannot be opened, or the codec refuses the topic ([`Error::Prepare`]).
    // The future is boxed, because rustc checks the bounds of an `async fn` again where its future is awaited: a type
    // that is not a table would cause two compile errors.
    pub fn open(config: &Config) -> Pin<Box<dyn Future<Output = Result<Self>> + Send>>
    where
        T: SharedTable,
    {
        Self::open_as(config, Reads::Written)
    }

    /// Opens a view that shows only committed rows.
    ///
    /// A processor under at-least-once writes its rows before it commits the offsets of the records that caused them.
    /// If the processor is killed in between, it undoes these rows when it restarts, and handles the records again. A
    /// view that was opened with [`open`](Self::open) shows such rows for a moment. A view that was opened with this
    /// method shows them only when the group has committed them: later by the processor's `commit_interval` (100 ms
    /// by default) and up to a quarter of a second. Under exactly-once, every view shows only committed rows, and this
    /// method delays them by up to a quarter of a second.
    ///
    /// Meanwhile the view holds the rows in memory, up to 64 MiB per partition; beyond that, it stops reading the
    /// partition until the group commits. Held rows count as consumer lag in [`stats`](Self::stats), and
    /// [`wait_for`](Self::wait_for) and [`caught_up`](Self::caught_up) wait until the group has committed them. While
    /// the group's processor is down after a crash, no row of its last interval is shown.
    ///
    /// The view shows rows as they are written if there is no commit to wait for: if the group has never committed an
    /// offset, and if its last offsets are not a commit of this version of goka, for example after
    /// `kafka-consumer-groups.sh --reset-offsets` or while another client or an older version has the partition.
    ///
    /// The prefix and the renamed topics in `config` must be those of the processor. The view keeps a local copy of its
    /// own, which it does not share with other views, joins and lookups of the table, and it keeps a connection open.
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # async fn bill(config: goka::Config) -> goka::Result {
    /// let view = goka::View::<Clicks>::open_committed(&config).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`open`](Self::open), and [`Error::Kafka`] if the broker denies access to the group's offsets. On
    /// a secured cluster, the view needs the ACL `Describe` on the group and on the topics of its inputs.
    pub fn open_committed(config: &Config) -> Pin<Box<dyn Future<Output = Result<Self>> + Send>>
    where
        T: SharedTable,
    {
        Self::open_as(config, Reads::Committed)
    }

    fn open_as(config: &Config, reads: Reads) -> Pin<Box<dyn Future<Output = Result<Self>> + Send>>
    where
        T: SharedTable,
    {
        let config = config.clone();
        Box::pin(async move {
            let view = blocking("open a view", move || Self::open_now(&config, reads)).await?;
            view.all(|replica, n| replica.state(n).is_some()).await?;
            Ok(view)
        })
    }

    fn open_now(config: &Config, reads: Reads) -> Result<Self>
    where
        T: SharedTable,
    {
        let cluster = Cluster::connect(config)?;
        let home = Home::open(config, &cluster)?;
        let replica = replicas::open(&cluster, &home, &TableSource::of::<T>(reads))?;
        let topic = cluster.names().topic(<T as SharedTable>::NAME)?;
        let prepare = Prepare::new(&topic, Role::Viewing, config);
        prepare.by(<T::Codec as Codec<T::Value>>::prepare)?;
        Ok(Self::of(replica, Some(config.clone())))
    }

    /// Returns a view of all partitions of `replica`.
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

    /// Closes this clone of the view. If nothing else in this process reads the table, this method waits until the
    /// local copy is closed. Dropping a view does the same, but blocks the thread for about 100 ms, and async code
    /// should not block its thread.
    ///
    /// # Errors
    /// [`Error::System`] if no thread can be started.
    pub async fn close(self) -> Result {
        let shared = self.shared;
        blocking("close a view", move || {
            drop(shared);
            Ok(())
        })
        .await
    }

    /// Waits until `is` returns true for every partition.
    pub(super) async fn all(&self, is: impl Fn(&Replica, i32) -> bool) -> Result {
        let replica = self.replica();
        self.until(replica.changes(), || {
            self.partitions().all(|n| is(replica, n))
        })
        .await
    }

    /// Waits until `is` returns true. Calls `is` at once, and again after each change.
    pub(super) async fn until(
        &self,
        mut changes: watch::Receiver<u64>,
        is: impl Fn() -> bool,
    ) -> Result {
        loop {
            if is() {
                return Ok(());
            }
            if let Some(failed) = self.failed() {
                return Err(failed);
            }
            if changes.changed().await.is_err() {
                return Err(Error::Closed("the view"));
            }
        }
    }

    /// The settings; `None` for a view that a tester keeps up to date.
    pub(super) fn config(&self) -> Option<&Config> {
        self.shared.config.as_ref()
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// The name of the table topic on the broker.
    pub(super) fn topic(&self) -> &str {
        &self.replica().spec().identity.topic
    }

    pub(super) fn failed(&self) -> Option<Error> {
        self.replica().check().err()
    }

    pub(super) fn partitions(&self) -> std::ops::Range<i32> {
        0..self.replica().partitions()
    }
}

impl<T: Topic> View<T> {
    /// Reads the value at `key`; `None` if there is no row.
    ///
    /// # Errors
    /// [`Error::Decode`] if the value does not decode; another error if the local copy cannot be read.
    pub fn get(&self, key: &KeyOf<T>) -> Result<Option<T::Value>> {
        let key = self.place(key);
        let snapshot = self.replica().snapshot(key.partition)?;
        let value = snapshot.get(&key.bytes)?;
        value
            .map(|value| self.decode(&key.bytes, value))
            .transpose()
    }

    /// Whether there is a row at `key`. Does not decode the value.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn has(&self, key: &KeyOf<T>) -> Result<bool> {
        let key = self.place(key);
        let snapshot = self.replica().snapshot(key.partition)?;
        Ok(snapshot.get(&key.bytes)?.is_some())
    }

    /// Reads the values at several keys, and returns them in the order of `keys`. All values of one partition are read
    /// from one snapshot. This is faster than a separate read of each key.
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
    /// [`Error::Decode`] if a value does not decode; another error if the local copy cannot be read.
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

    pub(super) fn place(&self, key: &KeyOf<T>) -> Place {
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let partition = T::PARTITIONER.partition(&bytes, self.replica().partitions());
        Place { partition, bytes }
    }

    pub(super) fn decode(&self, key: &[u8], value: &[u8]) -> Result<T::Value> {
        T::Codec::decode(value).map_err(|source| {
            let source = Undecoded::new(<T::Codec as Codec<T::Value>>::name(), value, source);
            self.undecodable("value", key, source.into())
        })
    }

    pub(super) fn decode_key(&self, key: &[u8]) -> Result<T::Key> {
        T::Key::decode(key).map_err(|source| self.undecodable("key", key, source))
    }

    pub(super) fn decode_row(
        &self,
        (key, value): &(Vec<u8>, Vec<u8>),
    ) -> Result<(T::Key, T::Value)> {
        Ok((self.decode_key(key)?, self.decode(key, value)?))
    }

    /// Returns an error that names the row.
    fn undecodable(&self, what: &str, key: &[u8], source: BoxError) -> Error {
        let (key, source) = (excerpt::key(key), excerpt::text(source.to_string()));
        let source = format!("the {what} of the row `{key}`: {source}");
        Error::decode(self.topic())(source.into())
    }
}

/// The bytes of a key, and its partition.
pub(super) struct Place {
    partition: i32,
    pub(super) bytes: Vec<u8>,
}

impl Place {
    pub(super) fn index(&self) -> usize {
        usize::try_from(self.partition).expect("the partitioner must return an existing partition")
    }
}
