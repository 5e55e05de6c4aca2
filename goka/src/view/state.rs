//! State, statistics and consumer lag of a view, and methods that wait until the view has read up to an offset. Must
//! not know rows.

use std::{collections::BTreeMap, time::SystemTime};

use tokio::sync::watch;

use crate::{
    app::blocking::blocking,
    base::{
        error::{Error, Result},
        record::from_ms,
        state::PartitionState,
    },
    engine::replica::Replica,
    kafka::Cluster,
    typed::topic::SharedTable,
    view::opened::View,
};

/// State of a view. See [`View::state`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ViewState {
    /// The local copy is being restored: some partitions have not been read to their ends since the view was opened.
    Recovering {
        /// Number of rows read so far.
        rows: u64,
        /// Share of the changelog that has been read, from 0 to 1: the mean of all partitions.
        progress: f64,
    },
    /// Every partition has been read to its end, and new records are applied as they arrive.
    Running,
    /// The local copy is no longer updated; the string is the reason. Reads still return the rows of the local copy.
    /// To open the table again, first drop all views of the table, and all of their iterators, snapshots, watches and
    /// updates.
    Failed(String),
}

/// Statistics of a view: size and consumer lag. See [`View::stats`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ViewStats {
    /// Number of rows.
    pub rows: u64,
    /// Size of the files of the local copy, in bytes, including space that will be reused.
    pub bytes: u64,
    /// Consumer lag: the number of offsets between the position up to which reads see the changelog and the last known
    /// end of the changelog, summed over all partitions. Includes rows that a view of committed rows holds back.
    pub lag: u64,
    /// Time at which new rows last became visible to reads; `None` if there have been none yet.
    pub updated: Option<SystemTime>,
    /// Statistics of each partition.
    pub partitions: BTreeMap<i32, ViewPartition>,
}

/// Statistics of one partition of a [`View`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ViewPartition {
    /// State of the partition.
    pub state: PartitionState,
    /// Number of rows.
    pub rows: u64,
    /// Size of the file of the local copy, in bytes.
    pub bytes: u64,
    /// Position in the changelog: reads see everything before this offset.
    pub offset: i64,
    /// Last known end offset of the partition; at most one second old while the broker answers.
    pub end: i64,
    /// Consumer lag: `end` minus `offset`.
    pub lag: u64,
    /// Time at which new rows last became visible to reads; `None` if there have been none yet.
    pub updated: Option<SystemTime>,
}

impl<T> View<T> {
    /// Waits until the view has recovered, which means that every partition has been read to its end once. After this,
    /// reads see everything that was in the table when the view was opened; with
    /// [`open_committed`](Self::open_committed), everything that was committed.
    ///
    /// # Errors
    /// [`Error::Stale`] if the local copy is no longer updated.
    pub async fn recovered(&self) -> Result {
        self.all(Replica::is_up_to_date).await
    }

    /// Returns the current state of the view.
    pub fn state(&self) -> ViewState {
        let replica = self.replica();
        if let Some(failure) = replica.failure() {
            return ViewState::Failed(failure.to_owned());
        }
        let (mut rows_read, mut sum, mut recovering) = (0, 0.0, false);
        for partition in self.partitions() {
            match replica.state(partition) {
                Some(PartitionState::Running) => sum += 1.0,
                Some(PartitionState::Recovering { rows, progress, .. }) => {
                    recovering = true;
                    rows_read += rows;
                    sum += progress;
                }
                Some(PartitionState::NoRoom) | None => recovering = true,
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

    /// Returns the states of the view, as they change.
    pub fn state_changes(&self) -> ViewStates<T> {
        ViewStates {
            changes: self.replica().changes(),
            view: self.clone(),
            given: None,
        }
    }

    /// Returns the statistics of the view: its size and its consumer lag. Does not query the broker.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn stats(&self) -> Result<ViewStats> {
        let mut stats = ViewStats::default();
        for number in self.partitions() {
            let replica = self.replica();
            let (Some(state), Some(progress)) = (replica.state(number), replica.progress(number))
            else {
                continue;
            };
            let snapshot = replica.snapshot(number)?;
            let partition = ViewPartition {
                state,
                rows: snapshot.len()?,
                bytes: snapshot.file_bytes()?,
                offset: progress.visible,
                end: progress.end,
                lag: u64::try_from(progress.end - progress.visible).unwrap_or(0),
                updated: (progress.at_ms > 0).then(|| from_ms(progress.at_ms)),
            };
            stats.rows += partition.rows;
            stats.bytes += partition.bytes;
            stats.lag += partition.lag;
            stats.updated = stats.updated.max(partition.updated);
            stats.partitions.insert(number, partition);
        }
        Ok(stats)
    }

    /// Waits until reads see the record at `offset` in `partition` of the table topic, or a newer record with the same
    /// key. For an offset that is never written, this method waits for ever: use a timeout.
    ///
    /// A program that itself writes to the table topic can wait for its own writes before it reads them:
    ///
    /// ```
    /// use goka::{Config, Emitter, View};
    ///
    /// #[goka::table(group = "prices", value = i64)]
    /// struct Prices;
    /// /// The table topic, as a stream.
    /// #[goka::stream("prices-state", value = i64)]
    /// struct SetPrice;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goka::Result {
    /// # let broker = goka::EmbeddedBroker::start()?;
    /// # broker.create_topic("prices-state", 4)?;
    /// # let state = tempfile::tempdir().expect("the temporary directory can be created");
    /// # let config = Config::new().brokers(broker.address()).state_dir(state.path());
    /// let (prices, set) = (View::<Prices>::open(&config).await?, Emitter::<SetPrice>::new(&config)?);
    /// let written = set.emit("apple", &95)?.await?;
    /// prices.wait_for(written.partition, written.offset).await?;
    /// assert_eq!(prices.get("apple")?, Some(95));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Topic`] if the table does not have the partition, and [`Error::Stale`] if the local copy is no longer
    /// updated.
    pub async fn wait_for(&self, partition: i32, offset: i64) -> Result {
        if !self.partitions().contains(&partition) {
            let (topic, count) = (self.topic(), self.replica().partitions());
            return Err(Error::Topic(format!(
                "cannot wait for partition {partition}: table topic `{topic}` has {count} partitions, 0 to {}",
                count - 1
            )));
        }
        let replica = self.replica();
        let is_visible = || {
            let progress = replica.progress(partition);
            progress.is_some_and(|progress| progress.visible > offset)
        };
        self.until(replica.stored(), is_visible).await
    }

    /// Waits until reads see everything that was written to the table before this call, by any program. A view of
    /// committed rows waits until the group has committed these rows: use a timeout.
    ///
    /// This method queries the broker for the end offsets of the table topic, over a new connection. It is meant for
    /// occasional use, not for every read.
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # async fn read(view: goka::View<Clicks>, reset: impl Future<Output = goka::Result>) -> goka::Result {
    /// // A request that returns when a processor has written its rows.
    /// reset.await?;
    /// view.caught_up().await?;
    /// println!("alice clicked {:?} times", view.get("alice")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the broker does not answer within 10 seconds; [`Error::Stale`] if the local copy is no longer updated.
    pub async fn caught_up(&self) -> Result
    where
        T: SharedTable,
    {
        let (config, partitions) = (self.config().cloned(), self.partitions());
        let Some(config) = config else {
            return self.recovered().await;
        };
        let ends = blocking("query the end offsets of a table topic", move || {
            let reader = Cluster::connect(&config)?.reader(<T as SharedTable>::NAME)?;
            let bounds = partitions.map(|n| Ok((n, reader.bounds(n)?.1)));
            bounds.collect::<Result<Vec<_>>>()
        });
        for (partition, end) in ends.await? {
            self.wait_for(partition, end - 1).await?;
        }
        Ok(())
    }
}

/// The states of a [`View`], as they change. See [`View::state_changes`].
#[derive(Debug)]
pub struct ViewStates<T> {
    view: View<T>,
    changes: watch::Receiver<u64>,
    given: Option<ViewState>,
}

impl<T> ViewStates<T> {
    /// Returns the next state. The first call returns the current state. Each later call waits until the state differs
    /// from the state that was returned last, and returns the newest state. Returns `None` after
    /// [`ViewState::Failed`], which is final.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ViewState> {
        loop {
            if matches!(self.given, Some(ViewState::Failed(_))) {
                return None;
            }
            self.changes.mark_unchanged();
            let state = self.view.state();
            if self.given.as_ref() != Some(&state) {
                self.given = Some(state.clone());
                return Some(state);
            }
            self.changes.changed().await.ok()?;
        }
    }
}
