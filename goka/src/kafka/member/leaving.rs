//! Destroys a client without waiting for brokers that do not respond. librdkafka destroys a client only after all the
//! client's requests are answered, which takes a minute if brokers do not respond. Must not know what the client was
//! for.

use std::{
    ops::Deref,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// How long a drop waits for the client to be destroyed. This is longer than it takes if the brokers respond.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client whose drop waits for [`PATIENCE`] at most. After that time, a background thread continues to destroy the
/// client, unless the process ends first.
pub(crate) struct Leaving<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Leaving<T> {
    pub(crate) fn new(client: T) -> Self {
        Leaving(Some(client))
    }
}

impl<T: Send + 'static> Deref for Leaving<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
            .as_ref()
            .expect("the value is present until the drop")
    }
}

impl<T: Send + 'static> Drop for Leaving<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        let (ended, end) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("goka-leaving".to_owned());
        // If no thread can be started, the closure is dropped here, and the client with it.
        let spawned = thread.spawn(move || {
            drop(client);
            drop(ended);
        });
        if spawned.is_ok() && end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!(target: "goka::kafka", "brokers do not respond; closing the client in the background");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client whose drop waits for a message.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.recv();
            let _ = self.1.send(());
        }
    }

    #[test]
    fn an_end_is_waited_for_unless_it_takes_too_long() {
        let (told, tell) = mpsc::channel();
        let (now, wait) = mpsc::channel();
        now.send(()).unwrap();
        drop(Leaving::new(Slow(wait, told)));
        assert_eq!(tell.try_recv(), Ok(()), "the drop must wait for the end");

        let (told, tell) = mpsc::channel();
        let (later, wait) = mpsc::channel();
        drop(Leaving::new(Slow(wait, told)));
        assert!(tell.try_recv().is_err(), "the drop must not wait longer");
        later.send(()).unwrap();
        assert_eq!(
            tell.recv_timeout(PATIENCE),
            Ok(()),
            "the slow client must end in the background"
        );
    }
}
