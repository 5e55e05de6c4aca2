//! What a view is doing, how far it is, and how to wait until it is far enough.

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
    /// It is no longer kept up to date; reads still answer from the local copy. Drop all views of
    /// the table, and what came from them, before one is opened again.
    Failed(String),
}

/// What a view has, and how far it is. See [`View::stats`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ViewStats {
    /// How many rows there are.
    pub rows: u64,
    /// Size of the files, bytes: of the rows, and of room that will be used again.
    pub bytes: u64,
    /// Records that the view does not have yet, as far as it has heard: the sum over its partitions.
    pub lag: u64,
    /// When rows last became visible; `None`: never.
    pub updated: Option<SystemTime>,
    /// The same for each partition.
    pub partitions: BTreeMap<i32, ViewPartition>,
}

/// A partition of a [`View`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ViewPartition {
    /// What is done with it.
    pub state: PartitionState,
    /// How many rows there are.
    pub rows: u64,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Reads see everything before this offset of the table's topic.
    pub offset: i64,
    /// The end of the partition, as last heard: while the broker answers, a second ago at most.
    pub end: i64,
    /// Offsets between both.
    pub lag: u64,
    /// When rows last became visible; `None`: never.
    pub updated: Option<SystemTime>,
}

impl<T> View<T> {
    /// Waits until every partition was read to its end once: from then on, reads see everything
    /// that was in the table when the view was opened.
    ///
    /// # Errors
    /// If the view failed, with the reason.
    pub async fn recovered(&self) -> Result {
        self.all(Replica::is_up_to_date).await
    }

    /// What the view is doing now.
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

    /// What the view is doing, whenever that changes.
    pub fn state_changes(&self) -> ViewStates<T> {
        ViewStates {
            changes: self.replica().changes(),
            view: self.clone(),
            given: None,
        }
    }

    /// How much the view has, and how far it is. Asks no broker.
    ///
    /// # Errors
    /// If the local copy cannot be read.
    pub fn stats(&self) -> Result<ViewStats> {
        let mut stats = ViewStats::default();
        for number in self.partitions() {
            let replica = self.replica();
            let (Some(state), Some(standing)) = (replica.state(number), replica.standing(number))
            else {
                continue;
            };
            let snapshot = replica.snapshot(number)?;
            let partition = ViewPartition {
                state,
                rows: snapshot.len()?,
                bytes: snapshot.file_bytes()?,
                offset: standing.visible,
                end: standing.end,
                lag: u64::try_from(standing.end - standing.visible).unwrap_or(0),
                updated: (standing.at_ms > 0).then(|| from_ms(standing.at_ms)),
            };
            stats.rows += partition.rows;
            stats.bytes += partition.bytes;
            stats.lag += partition.lag;
            stats.updated = stats.updated.max(partition.updated);
            stats.partitions.insert(number, partition);
        }
        Ok(stats)
    }

    /// Waits until reads see the record that was written at `offset` of a partition of the table's
    /// topic, or a newer one of its key. For an offset that is never written it waits for ever:
    /// put a timeout around it.
    ///
    /// Read your writes, in a program that fills a table itself:
    ///
    /// ```
    /// use goka::{Config, Emitter, View};
    ///
    /// #[goka::table(group = "prices", value = i64)]
    /// struct Prices;
    /// /// The same topic, to be written.
    /// #[goka::stream("prices-state", value = i64)]
    /// struct SetPrice;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goka::Result {
    /// # let broker = goka::EmbeddedBroker::start()?;
    /// # broker.create_topic("prices-state", 4)?;
    /// # let state = tempfile::tempdir().expect("a directory");
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
    /// If the table has no such partition, or the view is no longer kept up to date.
    pub async fn wait_for(&self, partition: i32, offset: i64) -> Result {
        if !self.partitions().contains(&partition) {
            let (topic, count) = (self.topic(), self.replica().partitions());
            return Err(Error::Topic(format!(
                "there is nothing to wait for in partition {partition}: `{topic}` has {count} partitions, from 0 on"
            )));
        }
        let replica = self.replica();
        let is_visible = || {
            let standing = replica.standing(partition);
            standing.is_some_and(|standing| standing.visible > offset)
        };
        self.until(replica.stored(), is_visible).await
    }

    /// Waits until reads see everything that is in the table's topic now: so, everything that was
    /// written before the call, by whomever. Asks the broker where the topic ends, on a connection
    /// of its own: for now and then, not for every read.
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # async fn read(view: goka::View<Clicks>, reset: impl Future<Output = goka::Result>) -> goka::Result {
    /// // Something that returns when a processor has written its rows.
    /// reset.await?;
    /// view.caught_up().await?;
    /// println!("alice clicked {:?} times", view.get("alice")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the broker does not answer within 10 seconds, or the view is no longer kept up to date.
    pub async fn caught_up(&self) -> Result
    where
        T: SharedTable,
    {
        let (config, partitions) = (self.config().cloned(), self.partitions());
        let Some(config) = config else {
            return self.recovered().await;
        };
        let ends = blocking("ask where a table ends", move || {
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

/// What a [`View`] is doing, whenever that changes. See [`View::state_changes`].
#[derive(Debug)]
pub struct ViewStates<T> {
    view: View<T>,
    changes: watch::Receiver<u64>,
    given: Option<ViewState>,
}

impl<T> ViewStates<T> {
    /// The state now at the first call; then waits until it is another than the one given last, and
    /// gives the newest. `None` behind [`ViewState::Failed`], after which there is no other.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
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
