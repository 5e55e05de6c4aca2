//! Views: a local, read-only copy of a whole group table, for services to answer from. No macro is
//! needed: the table's type says it all.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    pin::Pin,
    sync::Arc,
};

use crate::{
    Codec, Config, Error, Key, PartitionState, Result, SharedTable, Topic,
    app::blocking,
    context::KeyOf,
    engine::replica::{Replica, Wanted},
    home::Home,
    kafka::Cluster,
    replicas::{self, TableSource},
};

/// Rows that an iterator takes from a partition at a time: it holds no read transaction between,
/// which would keep the file from reusing pages.
const CHUNK_ROWS: usize = 256;

/// What the clones of a view share.
struct Shared {
    // Before the replica, which it does not keep.
    _wanted: Vec<Wanted>,
    replica: Arc<Replica>,
}

/// A local copy of the table `T`, kept up to date in the background. Cheap to clone; the copy goes
/// on while one clone is left.
///
/// Reads never wait for Kafka: they answer from the local copy, also while the broker is away, and
/// while the view recovers they see what is there so far. See [`recovered`](Self::recovered).
pub struct View<T> {
    shared: Arc<Shared>,
    table: PhantomData<fn() -> T>,
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
            .field("topic", &self.shared.replica.spec().identity.topic)
            .finish_non_exhaustive()
    }
}

/// What a view is doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ViewState {
    /// Some partitions are still read for the first time since the view was opened.
    Recovering {
        /// Rows read so far.
        rows: u64,
        /// How much of the way is behind, from 0 to 1: the mean of its partitions.
        progress: f64,
    },
    /// Every partition was read to its end, and is followed from there.
    Running,
    /// It is no longer kept up to date; reads still answer from the local copy.
    Failed(String),
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
        let shared = Shared {
            _wanted: replica.want_all(),
            replica,
        };
        Ok(View {
            shared: Arc::new(shared),
            table: PhantomData,
        })
    }

    /// Waits until every partition was read to its end once: from then on, reads see everything
    /// that was in the table when the view was opened.
    ///
    /// # Errors
    /// If the view failed, with the reason.
    pub async fn recovered(&self) -> Result {
        self.all(Replica::is_up_to_date).await
    }

    /// Waits until `is` is true of every partition.
    async fn all(&self, is: impl Fn(&Replica, i32) -> bool) -> Result {
        let replica = &self.shared.replica;
        let mut changes = replica.changes();
        loop {
            if let Some(failure) = replica.failure() {
                return Err(Error::Topic(failure));
            }
            if (0..replica.partitions()).all(|n| is(replica, n)) {
                return Ok(());
            }
            if changes.changed().await.is_err() {
                return Err(Error::Closed("the view"));
            }
        }
    }

    /// What the view is doing now.
    pub fn state(&self) -> ViewState {
        let replica = &self.shared.replica;
        if let Some(failure) = replica.failure() {
            return ViewState::Failed(failure);
        }
        let (mut rows_read, mut sum, mut recovering) = (0, 0.0, false);
        for partition in 0..replica.partitions() {
            match replica.state(partition) {
                Some(PartitionState::Running) => sum += 1.0,
                Some(PartitionState::Recovering { rows, progress, .. }) => {
                    recovering = true;
                    rows_read += rows;
                    sum += progress;
                }
                None => recovering = true,
            }
        }
        match recovering {
            true => ViewState::Recovering {
                rows: rows_read,
                progress: sum / f64::from(replica.partitions().max(1)),
            },
            false => ViewState::Running,
        }
    }
}

impl<T: Topic> View<T> {
    /// The value at `key`, `None` if there is none.
    ///
    /// # Errors
    /// If the value does not decode, or the local copy cannot be read.
    pub fn get(&self, key: &KeyOf<T>) -> Result<Option<T::Value>> {
        self.read(key, |bytes| bytes.map(decode::<T>).transpose())?
    }

    /// Whether there is a value at `key`. It is not decoded.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn has(&self, key: &KeyOf<T>) -> Result<bool> {
        self.read(key, |bytes| bytes.is_some())
    }

    fn read<R>(&self, key: &KeyOf<T>, with: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let mut bytes = Vec::new();
        T::Key::encode(key, &mut bytes);
        let replica = &self.shared.replica;
        let partition = T::PARTITIONER.partition(&bytes, replica.partitions());
        let snapshot = replica.snapshot(partition)?;
        Ok(with(snapshot.get(&bytes)?))
    }

    /// All rows, in ascending order of the bytes of their keys (text order for `String`; integers
    /// are decimal text). Each partition is read in chunks: a row that is written while the
    /// iterator runs may be seen or not.
    ///
    /// # Errors
    /// Each item may be one: a row that does not decode, or a copy that cannot be read.
    pub fn iter(&self) -> Rows<T> {
        self.between(Bound::Unbounded, Bound::Unbounded)
    }

    /// The rows whose keys lie in `range`, as [`iter`](Self::iter).
    pub fn range<'k, R>(&self, range: R) -> Rows<T>
    where
        R: RangeBounds<&'k KeyOf<T>>,
        KeyOf<T>: 'k,
    {
        let encoded = |bound: Bound<&&KeyOf<T>>| {
            bound.map(|key| {
                let mut bytes = Vec::new();
                T::Key::encode(key, &mut bytes);
                bytes
            })
        };
        self.between(encoded(range.start_bound()), encoded(range.end_bound()))
    }

    fn between(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Rows<T> {
        let (from, exclusive) = match from {
            Bound::Included(key) => (key, false),
            Bound::Excluded(key) => (key, true),
            Bound::Unbounded => (Vec::new(), false),
        };
        let cursors = (0..self.shared.replica.partitions()).map(|partition| Cursor {
            partition,
            from: from.clone(),
            exclusive,
            rows: VecDeque::new(),
            at_end: false,
        });
        Rows {
            view: self.clone(),
            cursors: cursors.collect(),
            to,
        }
    }
}

fn decode<T: Topic>(bytes: &[u8]) -> Result<T::Value> {
    T::Codec::decode(bytes).map_err(Error::decode(std::any::type_name::<T>()))
}

/// Rows of a [`View`], all partitions merged by key. See [`View::iter`].
pub struct Rows<T> {
    view: View<T>,
    cursors: Vec<Cursor>,
    to: Bound<Vec<u8>>,
}

impl<T> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// Where the iterator is in one partition.
struct Cursor {
    partition: i32,
    from: Vec<u8>,
    exclusive: bool,
    rows: VecDeque<(Vec<u8>, Vec<u8>)>,
    at_end: bool,
}

impl Cursor {
    fn fill(&mut self, replica: &Replica, to: &Bound<Vec<u8>>) -> Result<(), Error> {
        if self.at_end || !self.rows.is_empty() {
            return Ok(());
        }
        let (rows, mut beyond) = (&mut self.rows, false);
        let snapshot = replica.snapshot(self.partition)?;
        snapshot.scan(&self.from, self.exclusive, &mut |key, value| {
            beyond = match to {
                Bound::Included(to) => key > &to[..],
                Bound::Excluded(to) => key >= &to[..],
                Bound::Unbounded => false,
            };
            if !beyond {
                rows.push_back((key.to_vec(), value.to_vec()));
            }
            !beyond && rows.len() < CHUNK_ROWS
        })?;
        self.at_end = beyond || self.rows.len() < CHUNK_ROWS;
        if let Some((key, _)) = self.rows.back() {
            self.from.clone_from(key);
            self.exclusive = true;
        }
        Ok(())
    }
}

impl<T: Topic> Iterator for Rows<T> {
    type Item = Result<(T::Key, T::Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        let replica = &self.view.shared.replica;
        for cursor in &mut self.cursors {
            if let Err(error) = cursor.fill(replica, &self.to) {
                // Told once; there is nothing behind it.
                self.cursors.clear();
                return Some(Err(error));
            }
        }
        let waiting = self
            .cursors
            .iter_mut()
            .filter(|cursor| !cursor.rows.is_empty());
        let first = waiting.min_by(|a, b| a.rows[0].0.cmp(&b.rows[0].0))?;
        let (key, value) = first.rows.pop_front()?;
        let key = T::Key::decode(&key).map_err(Error::decode(std::any::type_name::<T>()));
        Some(key.and_then(|key| Ok((key, decode::<T>(&value)?))))
    }
}
