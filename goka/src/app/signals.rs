//! Signals that stop a program. Must not know what is stopped.
//!
//! tokio's signals need a runtime with IO, and panic without one. They are awaited on a thread with a runtime of its
//! own, so that an app runs in any runtime.

use std::thread;

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use crate::base::error::{Error, Result};

/// SIGINT and SIGTERM; Ctrl-C where there are no signals.
pub(super) struct Signals(mpsc::UnboundedReceiver<()>);

impl Signals {
    /// Installs the handlers, and starts the thread that waits for signals. The thread ends when this is dropped.
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
                // Fails only if nobody waits any more, and then the loop ends immediately.
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
            // The thread has failed. Nothing more can arrive.
            std::future::pending::<()>().await;
        }
    }
}

/// Signals as the operating system has them. Needs a tokio runtime.
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
