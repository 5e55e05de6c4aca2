//! Writes to a stream from any program: an [`Emitter`] sends messages, and a [`Delivery`] says when Kafka has
//! acknowledged a message.

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

/// Producer of the stream `S`: encodes messages and writes them to Kafka.
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
/// An emitter works in any program, with or without an async runtime. An emitter is an idempotent producer: if one
/// thread emits several messages with the same key, each message is written once, and the messages are written in the
/// order in which the thread emitted them. Clones of an emitter share one connection, and many threads can use them.
///
/// Memory is bounded. While `queue.buffering.max.messages` (100,000) messages or `queue.buffering.max.kbytes` (32 MiB)
/// are in flight, [`emit`](Self::emit) blocks the calling thread. An async program should await [`ready`](Self::ready)
/// before it emits.
///
/// Await [`close`](Self::close) at the end: its result says whether all messages were delivered. Without a call of
/// `close`, dropping the last clone blocks for up to two seconds, until the messages in flight are delivered. If some
/// messages are not delivered in this time, goka logs a warning and continues to deliver them in the background;
/// messages that are still not delivered when the process ends are lost.
pub struct Emitter<S> {
    outbox: Arc<Outbox>,
    /// Number of messages sent so far without a key. Such messages go to the partitions in turn.
    turn: Arc<AtomicU32>,
    stream: PhantomData<fn() -> S>,
}

/// Position of a delivered message: its partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// Delivery report of an emitted message, as a future: await it, [`wait`](Self::wait) for it, or drop it.
///
/// If a `Delivery` is dropped and its message fails, goka logs the failure, and the next [`flush`](Emitter::flush) or
/// [`close`](Emitter::close) returns an error.
pub struct Delivery(Receipt);

thread_local! {
    /// Buffer for the bytes of a message. Each message reuses the buffer, so that sending costs no allocation.
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<S> Emitter<S> {
    /// Connects to Kafka, and creates the topic if [`Config::create_stream`] asks for it. Blocks the thread until a
    /// broker answers.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is wrong, [`Error::Kafka`] if no broker answers within 10 seconds,
    /// [`Error::Topic`] if the topic does not exist, and [`Error::Prepare`] if the codec refuses the topic.
    pub fn new(config: &Config) -> Result<Self, Error>
    where
        // The bound stands only here, so that a type that is not a stream causes a single compile error.
        S: Stream,
    {
        let cluster = Cluster::connect(config)?;
        let own = config.streams.iter().filter(|(name, _)| name == S::NAME);
        Topology::create_streams(&cluster, &own.cloned().collect::<Vec<_>>())?;
        let outbox = Outbox::open(&cluster, S::NAME)?;
        let prepare = Prepare::new(outbox.physical(), Role::Emitting, config);
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
    /// Sends a message to the partition of its key, with the current time as its timestamp. Does not wait for the
    /// broker, but blocks the thread while too many messages are in flight.
    ///
    /// # Errors
    /// If the codec cannot encode the value, the message is larger than the producer allows, or the emitter was
    /// closed. The [`Delivery`] returns errors that occur later.
    pub fn emit(&self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result<Delivery, Error> {
        self.emit_with(key, value, Meta::new())
    }

    /// Sends a message like [`emit`](Self::emit), with headers, a timestamp or a partition.
    ///
    /// # Errors
    /// The errors of [`emit`](Self::emit), and an error if the topic does not have the partition.
    pub fn emit_with(
        &self,
        key: &KeyOf<S>,
        value: &ValueOf<S>,
        meta: Meta,
    ) -> Result<Delivery, Error> {
        self.send(key, Some(value), &meta)
    }

    /// Sends a tombstone: a record with this key and without a value. A compacted topic then deletes the key.
    ///
    /// # Errors
    /// The errors of [`emit`](Self::emit).
    pub fn tombstone(&self, key: &KeyOf<S>) -> Result<Delivery, Error> {
        self.send(key, None, &Meta::new())
    }

    /// Sends a message like [`emit`](Self::emit), and blocks the thread until the broker has acknowledged it.
    ///
    /// # Errors
    /// The errors of [`emit`](Self::emit), and an error if the message could not be delivered.
    pub fn emit_sync(&self, key: &KeyOf<S>, value: &ValueOf<S>) -> Result<Delivered, Error> {
        self.emit(key, value)?.wait()
    }

    /// Waits until there is space for a message, so that the next [`emit`](Self::emit) does not block the thread,
    /// unless another thread uses the space first.
    ///
    /// # Errors
    /// If the emitter was closed.
    pub async fn ready(&self) -> Result<(), Error> {
        poll_fn(|context| self.outbox.poll_ready(context.waker())).await
    }

    /// Waits until the broker has acknowledged all messages that were emitted so far.
    ///
    /// # Errors
    /// If messages whose [`Delivery`] was dropped could not be delivered.
    pub async fn flush(&self) -> Result<(), Error> {
        let mark = self.outbox.mark();
        poll_fn(|context| self.outbox.poll_flushed(mark, context.waker())).await
    }

    /// Closes the emitter and all of its clones, and waits until the broker has acknowledged all messages.
    ///
    /// # Errors
    /// The errors of [`flush`](Self::flush).
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

    /// Appends the encoded key and then the encoded value to `bytes`, and returns the length of the key in bytes.
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
    /// Blocks the thread until the broker has acknowledged the message. Async code awaits the delivery instead.
    ///
    /// # Errors
    /// If the message could not be delivered. Goka does not send it again.
    pub fn wait(self) -> Result<Delivered, Error> {
        block_on(self)
    }
}

/// # Panics
/// If the delivery is polled again after it was ready.
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
