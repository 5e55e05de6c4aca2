//! Writes to a stream from any program: an [`Emitter`] sends messages, a [`Delivery`] says when Kafka has one.

// Must not know brokers: bytes go to an `Outbox`.

use std::{
    cell::Cell,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::SystemTime,
};

use crate::{
    app::topology::Topology,
    base::{
        block::block_on,
        config::Config,
        error::Error,
        record::{Meta, to_ms},
    },
    kafka::{Cluster, Letter, Outbox, Receipt},
    typed::{
        codec::{Codec, Prepare, Role},
        context::{KeyOf, ValueOf},
        key::Key as _,
        topic::{Stream, Topic},
    },
};

/// Writes messages into the stream `S`.
///
/// ```
/// #[goka::stream("user-clicks", value = String)]
/// struct UserClicks;
///
/// let config = goka::Config::new().brokers("embedded").create_stream("user-clicks", 4);
/// let clicks = goka::Emitter::<UserClicks>::new(&config)?;
/// let delivered = clicks.emit("alice", &"12:00".to_owned())?.wait()?;
/// assert_eq!(delivered.offset, 0);
/// # Ok::<(), goka::Error>(())
/// ```
///
/// It works in any program, with or without an async runtime. Clones share one connection, and may
/// be used by many threads. Messages of one thread with the same key are written in the order in
/// which they were emitted, each once.
///
/// Memory is bounded: while `queue.buffering.max.messages` (100,000) messages or
/// `queue.buffering.max.kbytes` (32 MiB) are on their way, [`emit`](Self::emit) waits on the calling
/// thread; an async program awaits [`ready`](Self::ready) before.
///
/// Await [`close`](Self::close) at the end, which tells whether all was delivered. Dropped without, the last clone
/// waits for that on its thread, but no longer than two seconds: then it warns, goes on in the background, and what is
/// not delivered when the process ends is lost.
pub struct Emitter<S> {
    outbox: Arc<Outbox>,
    /// For messages without a key, which go to the partitions in turn.
    turn: Arc<AtomicU32>,
    stream: PhantomData<fn() -> S>,
}

/// Where a message was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// What becomes of a message: await it, [`wait`](Self::wait) for it, or drop it. If a message fails
/// whose delivery was dropped, that is logged, and the next flush or close returns an error.
pub struct Delivery(Receipt);

thread_local! {
    /// Keeps its memory, so that nothing is allocated for a message.
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<S> Emitter<S> {
    /// Connects, and creates the topic if [`Config::create_stream`] asks for it. Blocks until a
    /// broker answers.
    ///
    /// # Errors
    /// Settings that are wrong, no broker within 10 s, a topic that does not exist, or a codec that
    /// [refuses](crate::Codec::prepare) the topic.
    pub fn new(config: &Config) -> Result<Self, Error>
    where
        // Asked here alone, so that a type that is no stream is one error.
        S: Stream,
    {
        let cluster = Cluster::connect(config)?;
        let own = config.streams.iter().filter(|(name, _)| name == S::NAME);
        Topology::create_streams(&cluster, &own.cloned().collect::<Vec<_>>())?;
        let outbox = Outbox::open(&cluster, S::NAME)?;
        let prepare = Prepare::new(outbox.physical(), Role::Emitter, config);
        prepare.by(<S::Codec as Codec<S::Value>>::prepare)?;
        Ok(Self::of(outbox))
    }

    pub(crate) fn of(outbox: Outbox) -> Self {
        Emitter {
            outbox: Arc::new(outbox),
            turn: Arc::default(),
            stream: PhantomData,
        }
    }
}

impl<S: Topic> Emitter<S> {
    /// Writes a message to the partition of its key, with the present time.
    ///
    /// # Errors
    /// A value that the codec cannot encode, a message larger than the broker takes, an emitter that
    /// was closed. What happens later is told by the [`Delivery`].
    pub fn emit(&self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result<Delivery, Error> {
        self.emit_with(key, value, Meta::new())
    }

    /// [`emit`](Self::emit), with headers, a timestamp or a partition of its own.
    ///
    /// # Errors
    /// As `emit`, and a partition that the topic does not have.
    pub fn emit_with(
        &self,
        key: &KeyOf<S>,
        value: &ValueOf<S>,
        meta: Meta,
    ) -> Result<Delivery, Error> {
        self.send(key, Some(value), &meta)
    }

    /// Writes that there is no value for the key any more.
    ///
    /// # Errors
    /// As `emit`.
    pub fn tombstone(&self, key: &KeyOf<S>) -> Result<Delivery, Error> {
        self.send(key, None, &Meta::new())
    }

    /// [`emit`](Self::emit), and waits on this thread until the message is written.
    ///
    /// # Errors
    /// As `emit`, or the message could not be delivered.
    pub fn emit_sync(&self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result<Delivered, Error> {
        self.emit(key, value)?.wait()
    }

    /// Waits until there is room for a message, so that [`emit`](Self::emit) will not block this
    /// thread (unless another one fills the room first).
    ///
    /// # Errors
    /// The emitter was closed.
    pub async fn ready(&self) -> Result<(), Error> {
        poll_fn(|context| self.outbox.poll_ready(context.waker())).await
    }

    /// Waits until everything that was emitted before is written.
    ///
    /// # Errors
    /// Messages whose delivery was dropped could not be delivered.
    pub async fn flush(&self) -> Result<(), Error> {
        let mark = self.outbox.mark();
        poll_fn(|context| self.outbox.poll_flushed(mark, context.waker())).await
    }

    /// Takes no more messages, of any clone, and waits until all are written.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(&self) -> Result<(), Error> {
        self.outbox.close();
        self.flush().await
    }

    fn send(
        &self,
        key: &KeyOf<S>,
        value: Option<&ValueOf<S>>,
        meta: &Meta,
    ) -> Result<Delivery, Error> {
        let mut bytes = BYTES.take();
        bytes.clear();
        let sent = self.encode(key, value, &mut bytes).and_then(|key_len| {
            let (key, encoded) = bytes.split_at(key_len);
            let key = (!S::Key::IS_NULL).then_some(key);
            self.outbox.send(&Letter {
                partition: meta.partition.unwrap_or_else(|| self.partition(key)),
                key,
                value: value.map(|_| encoded),
                timestamp: meta.timestamp.unwrap_or_else(|| to_ms(SystemTime::now())),
                headers: &meta.headers,
            })
        });
        BYTES.set(bytes);
        sent.map(Delivery)
    }

    /// Key, then value; gives the length of the key.
    fn encode(
        &self,
        key: &KeyOf<S>,
        value: Option<&ValueOf<S>>,
        bytes: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        S::Key::encode(key, bytes);
        let key_len = bytes.len();
        if let Some(value) = value {
            S::Codec::encode(value, bytes).map_err(Error::encode(self.outbox.physical()))?;
        }
        Ok(key_len)
    }

    fn partition(&self, key: Option<&[u8]>) -> i32 {
        let partitions = self.outbox.partitions();
        match key {
            Some(key) => S::PARTITIONER.partition(key, partitions),
            None => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % partitions.unsigned_abs();
                turn.cast_signed()
            }
        }
    }
}

impl<S> Clone for Emitter<S> {
    fn clone(&self) -> Self {
        Emitter {
            outbox: self.outbox.clone(),
            turn: self.turn.clone(),
            stream: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Emitter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.outbox.physical();
        f.debug_struct("Emitter").field("topic", &topic).finish()
    }
}

impl Delivery {
    /// Waits on this thread. Not for async code, where it would block the runtime: await instead.
    ///
    /// # Errors
    /// The message could not be delivered; it is not tried again.
    pub fn wait(self) -> Result<Delivered, Error> {
        block_on(self)
    }
}

/// # Panics
/// If it is polled after it was ready.
impl Future for Delivery {
    type Output = Result<Delivered, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = self.0.poll(context.waker());
        outcome.map_ok(|(partition, offset)| Delivered { partition, offset })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

#[cfg(test)]
mod tests;
