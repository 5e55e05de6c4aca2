//! Signals that stop a program. Must not know what is stopped.
//!
//! tokio's signals need a runtime with IO, and panic without one. goka therefore awaits signals on a separate thread
//! with its own runtime, so that an app can run in any runtime.

use std::thread;

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use crate::base::error::{Error, Result};

/// Receives SIGINT and SIGTERM, or Ctrl-C on systems without signals.
pub(super) struct Signals(mpsc::UnboundedReceiver<()>);

impl Signals {
    /// Installs the handlers, and starts the thread that waits for signals. The thread ends when the returned value is
    /// dropped.
    pub(super) async fn new() -> Result<Self> {
        let (signals, received) = mpsc::unbounded_channel();
        let (installed, ready) = oneshot::channel();
        let failed = |error| Error::system("install the handlers for SIGINT and SIGTERM", error);
        let thread = thread::Builder::new().name("goka: wait for signals".to_owned());
        let spawned = thread.spawn(move || {
            let runtime = match runtime::Builder::new_current_thread().enable_io().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(installed.send(Err(error))),
            };
            runtime.block_on(async {
                let mut source = match Source::new() {
                    Ok(source) => source,
                    Err(error) => return drop(installed.send(Err(error))),
                };
                // Sending fails only if nobody waits any more; the loop then ends immediately.
                let _ = installed.send(Ok(()));
                loop {
                    tokio::select! {
                        () = source.next() => {
                            if signals.send(()).is_err() {
                                return;
                            }
                        }
                        () = signals.closed() => return,
                    }
                }
            });
        });
        spawned.map_err(|error| Error::system("start a thread to wait for signals", error))?;
        let panicked = |_| Error::Bug("the thread to wait for signals panicked".to_owned());
        ready.await.map_err(panicked)?.map_err(failed)?;
        Ok(Signals(received))
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The thread has failed, so no signal can arrive any more.
            std::future::pending::<()>().await;
        }
    }
}

/// The signals of the operating system. This type needs a tokio runtime.
struct Source {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Source {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Source {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Source {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
