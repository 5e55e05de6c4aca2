//! Blocking work on a thread of its own, for async code of any runtime.

use std::thread;

use tokio::sync::oneshot;

use crate::base::error::{Error, Result};

/// Runs what blocks on a thread of its own: works in any runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("goka: {what}"));
    let spawned = thread.spawn(move || {
        // Nobody waits any more if this fails.
        let _ = done.send(run());
    });
    spawned.map_err(|error| Error::system(format!("start a thread to {what}"), error))?;
    result.await.unwrap_or(Err(Error::Closed("its thread")))
}
