//! Subscribers to the changed rows of a replica: feeds of all rows, and watches of single keys. Must not know types.
//!
//! The thread of the replica notifies subscribers after it has stored the rows, so that they can read the rows of
//! which they are notified. The thread never waits for subscribers. One lock protects all subscriptions, and the
//! thread takes this lock after a commit: whoever subscribed before that is notified of the commit, and whoever
//! subscribes later reads what the commit stored.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Notify, watch};

/// Maximum size of the changes that wait for one feed, in bytes. Beyond this size, the oldest changes are dropped and
/// counted.
const WAITING_MAX: usize = 16 << 20;

/// A change of the rows of a partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A key and its new value; `None`: the row was deleted.
    Row(Box<[u8]>, Option<Box<[u8]>>),
    /// The local copy of this partition was rebuilt; each of its rows follows.
    Rebuilt(i32),
}

/// What [`Feed::take`] returns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Change(Arc<Change>),
    /// The number of changes that were dropped.
    Missed(u64),
}

#[derive(Default)]
pub(super) struct Subscribers(Mutex<Inner>);

#[derive(Default)]
pub(super) struct Inner {
    feeds: Vec<Weak<Feed>>,
    /// Watches, by key.
    watched: HashMap<Box<[u8]>, watch::Sender<()>>,
}

/// The changes that wait for one subscriber.
#[derive(Default)]
pub(crate) struct Feed {
    queue: Mutex<Queue>,
    /// Notified when a change was added, and when the replica fails.
    pub(crate) added: Notify,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    missed: u64,
}

impl Subscribers {
    /// Subscribes to all changes from now on.
    pub(super) fn feed(&self) -> Arc<Feed> {
        let feed = Arc::new(Feed::default());
        self.lock().feeds.push(Arc::downgrade(&feed));
        feed
    }

    /// Subscribes to the changes of one key from now on.
    pub(super) fn watch(&self, key: &[u8]) -> watch::Receiver<()> {
        let mut inner = self.lock();
        match inner.watched.get(key) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(());
                inner.watched.insert(key.into(), sender);
                receiver
            }
        }
    }

    /// Ends a [`watch`](Self::watch) of a key.
    pub(super) fn unwatch(&self, key: &[u8], receiver: watch::Receiver<()>) {
        let mut inner = self.lock();
        drop(receiver);
        let left = inner.watched.get(key).map(watch::Sender::receiver_count);
        if left == Some(0) {
            inner.watched.remove(key);
        }
    }

    /// Locks the subscriptions, to notify them after a commit.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under this lock leaves no inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn row(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Some(watched) = self.watched.get(key) {
            watched.send_replace(());
        }
        if !self.feeds.is_empty() {
            self.add(Change::Row(key.into(), value.map(Into::into)));
        }
    }

    /// Notifies subscribers that the local copy of a partition was rebuilt. `true`: there is a feed, so the caller has
    /// to pass on all rows of the copy.
    pub(super) fn rebuilt(&mut self, partition: i32) -> bool {
        self.tick_all();
        if self.feeds.is_empty() {
            return false;
        }
        self.add(Change::Rebuilt(partition));
        true
    }

    /// Wakes all subscribers, because the replica has failed.
    pub(super) fn wake(&self) {
        self.tick_all();
        let feeds = self.feeds.iter().filter_map(Weak::upgrade);
        feeds.for_each(|feed| feed.added.notify_one());
    }

    fn tick_all(&self) {
        for watched in self.watched.values() {
            watched.send_replace(());
        }
    }

    fn add(&mut self, change: Change) {
        let change = Arc::new(change);
        self.feeds.retain(|feed| match feed.upgrade() {
            Some(feed) => {
                feed.add(&change);
                true
            }
            None => false,
        });
    }
}

impl Feed {
    fn add(&self, change: &Arc<Change>) {
        let mut queue = self.lock();
        queue.bytes += change.size();
        queue.changes.push_back(change.clone());
        while queue.bytes > WAITING_MAX
            && let Some(oldest) = queue.changes.pop_front()
        {
            queue.bytes -= oldest.size();
            queue.missed += 1;
        }
        drop(queue);
        self.added.notify_one();
    }

    /// Takes the next change. If changes were dropped, first returns the number of dropped changes, because they were
    /// older.
    pub(crate) fn take(&self) -> Option<Taken> {
        let mut queue = self.lock();
        if queue.missed > 0 {
            return Some(Taken::Missed(std::mem::take(&mut queue.missed)));
        }
        let change = queue.changes.pop_front()?;
        queue.bytes -= change.size();
        Some(Taken::Change(change))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic under this lock leaves no inconsistent state.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    /// Approximate size in memory, in bytes.
    fn size(&self) -> usize {
        let bytes = match self {
            Change::Row(key, value) => key.len() + value.as_ref().map_or(0, |value| value.len()),
            Change::Rebuilt(_) => 0,
        };
        bytes + 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str) -> Taken {
        let (key, value) = (key.as_bytes().into(), value.as_bytes().into());
        Taken::Change(Arc::new(Change::Row(key, Some(value))))
    }

    #[test]
    fn every_feed_gets_every_change_from_when_it_began() {
        let subscribers = Subscribers::default();
        subscribers.lock().row(b"a", Some(b"0"));
        let first = subscribers.feed();
        subscribers.lock().row(b"a", Some(b"1"));
        let second = subscribers.feed();
        subscribers.lock().row(b"b", Some(b"2"));
        assert_eq!(first.take(), Some(row("a", "1")));
        assert_eq!(first.take(), Some(row("b", "2")));
        assert_eq!(first.take(), None);
        assert_eq!(second.take(), Some(row("b", "2")));
        drop(first);
        subscribers.lock().rebuilt(3);
        let rebuilt = Taken::Change(Arc::new(Change::Rebuilt(3)));
        assert_eq!(second.take(), Some(rebuilt));
        assert_eq!(subscribers.lock().feeds.len(), 1);
    }

    #[test]
    fn a_slow_one_is_told_how_many_it_missed_and_gets_the_newest() {
        let subscribers = Subscribers::default();
        let feed = subscribers.feed();
        let value = vec![0; WAITING_MAX / 4];
        for n in 0..10_u8 {
            subscribers.lock().row(&[n], Some(&value));
        }
        assert_eq!(feed.take(), Some(Taken::Missed(7)));
        for n in 7..10_u8 {
            let change = Change::Row([n].into(), Some(value.clone().into()));
            assert_eq!(feed.take(), Some(Taken::Change(Arc::new(change))));
        }
        assert_eq!(feed.take(), None);
        assert_eq!(feed.lock().bytes, 0);
    }

    #[test]
    fn keys_are_watched_alone_and_forgotten() {
        let subscribers = Subscribers::default();
        let (mut a, b) = (subscribers.watch(b"a"), subscribers.watch(b"b"));
        let again = subscribers.watch(b"a");
        subscribers.lock().row(b"a", None);
        assert!(a.has_changed().unwrap() && again.has_changed().unwrap());
        assert!(!b.has_changed().unwrap());
        a.mark_unchanged();
        subscribers.lock().rebuilt(0);
        assert!(a.has_changed().unwrap() && b.has_changed().unwrap());
        for (key, receiver) in [(b"a", a), (b"b", b), (b"a", again)] {
            subscribers.unwatch(key, receiver);
        }
        assert_eq!(subscribers.lock().watched.len(), 0);
    }
}
