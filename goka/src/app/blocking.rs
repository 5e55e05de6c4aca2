//! Runs blocking work on a separate thread, for async code of any runtime. Must not know what the work is.

use std::thread;

use tokio::sync::oneshot;

use crate::base::error::{Error, Result};

/// Runs blocking work on a new thread and waits for its result. `what` completes the words "a thread to ..." in errors.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("goka: {what}"));
    let spawned = thread.spawn(move || {
        // Sending fails only if nobody waits for the result any more.
        let _ = done.send(run());
    });
    spawned.map_err(|error| Error::system(format!("start a thread to {what}"), error))?;
    let panicked = |_| Err(Error::Bug(format!("the thread to {what} panicked")));
    result.await.unwrap_or_else(panicked)
}
