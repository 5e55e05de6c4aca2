//! The app before it runs: settings and processors. Must not know how workers are started.

use std::{fmt, sync::Arc};

use tokio::runtime::Handle;
use tracing::info;

use crate::{
    app::{blocking::blocking, launch, reset, running::Running, signals::Signals},
    base::{
        config::Config,
        error::{Error, Result},
    },
    engine::program::Program,
    kafka::ResetTo,
    typed::{drawing::Graph, processor::Processor, program::Typed},
};

/// An application: one or more processors that run together in this process.
///
/// Add processors with [`processor`](Self::processor), then [`run`](Self::run) the app until SIGINT or SIGTERM, or
/// [`start`](Self::start) it and keep control.
///
/// ```no_run
/// # #[goka::table(group = "my-group", value = i64)]
/// # pub struct Clicks;
/// # #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
/// # fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
/// #     let clicks = ctx.value()?.unwrap_or(0);
/// #     ctx.set_value(&(clicks + 1))
/// # }
/// #[tokio::main]
/// async fn main() -> goka::Result {
///     goka::App::from_env()?.processor(count::Processor).run().await
/// }
/// ```
pub struct App {
    config: Config,
    programs: Vec<Arc<dyn Program>>,
    graph: Graph,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self
            .programs
            .iter()
            .map(|program| program.group())
            .collect();
        f.debug_struct("App")
            .field("config", &self.config)
            .field("groups", &groups)
            .finish()
    }
}

impl App {
    /// Creates an app without processors.
    pub fn new(config: Config) -> Self {
        App {
            config,
            programs: Vec::new(),
            graph: Graph::default(),
        }
    }

    /// Creates an app with the settings of environment variables, see [`Config::from_env`].
    ///
    /// # Errors
    /// [`Error::Config`] if a variable is malformed or unknown.
    pub fn from_env() -> Result<Self> {
        Config::from_env().map(Self::new)
    }

    /// Adds a processor. All workers of the processor share this one value.
    #[must_use]
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        self.programs.push(Arc::new(Typed(Arc::new(processor))));
        self.graph.add::<P>();
        self
    }

    /// The graph of the app: what its processors read and write, as data, JSON or a Mermaid diagram.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Starts the app: checks the topics, creates the changelogs, loops and dead-letter topics of its groups, and
    /// starts the workers. `async fn` handlers run in the tokio runtime that calls this method.
    ///
    /// The app itself needs no tokio runtime: `start` can be awaited in any async runtime. A handler that uses tokio's
    /// timers or sockets needs a tokio runtime in which they are enabled (`enable_all`). Without such a runtime, the
    /// handler panics, and its error policy applies.
    ///
    /// This method installs no signal handlers; [`run`](Self::run) does.
    ///
    /// # Errors
    /// If no broker answers within 10 seconds, a topic is missing or differs from what the graph needs, or the state
    /// directory cannot be used. In these cases, no processor runs.
    pub async fn start(self) -> Result<Running> {
        let runtime = Handle::try_current().ok();
        blocking("start the app", move || {
            launch::launch(self.config, self.programs, runtime)
        })
        .await
    }

    /// Resets the groups of this app, for example after a bug in a handler was fixed: sets the groups' offsets in the
    /// inputs to `to`, skips the unprocessed records in the loops, and deletes the rows of the tables.
    ///
    /// The reset also deletes the groups' local copies in this state directory; other instances rebuild their local
    /// copies when they start. Records that the groups have written to outputs stay.
    ///
    /// No processor of the groups may run during the reset. If the reset fails half-way, call `reset` again before you
    /// start a processor.
    ///
    /// ```no_run
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
    /// # fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
    /// #     let clicks = ctx.value()?.unwrap_or(0);
    /// #     ctx.set_value(&(clicks + 1))
    /// # }
    /// # async fn again() -> goka::Result {
    /// let app = goka::App::from_env()?.processor(count::Processor);
    /// app.reset(goka::app::ResetTo::Earliest).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a group still has members after goka has waited for `session.timeout.ms`; if another process uses the state
    /// directory; on the embedded broker, which has nothing to reset; and in the cases in which [`start`](Self::start)
    /// fails.
    pub async fn reset(self, to: ResetTo) -> Result {
        blocking("reset the groups", move || {
            reset::reset(&self.config, &self.programs, to)
        })
        .await
    }

    /// Starts the app, runs it until SIGINT or SIGTERM, and shuts it down.
    ///
    /// The shutdown waits for handlers that block their thread, commits, and leaves the groups. An `async fn` handler
    /// that waits is cancelled, and its record is processed again after the next start. A second signal stops the app
    /// immediately; records that were not committed are processed again after the next start.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start); the failure of a processor; [`Error::Closed`] after a second signal;
    /// [`Error::System`] if the signal handlers cannot be installed.
    pub async fn run(self) -> Result {
        let mut signals = Signals::new().await?;
        let start = self.start();
        let mut running = tokio::select! {
            started = start => started?,
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            ended = running.wait() => ended,
            () = signals.next() => {
                info!("shutting down; a second signal stops the app immediately");
                tokio::select! {
                    ended = running.shutdown() => ended,
                    () = signals.next() => Err(Error::Closed(
                        "a second signal arrived before the shutdown was complete: the app",
                    )),
                }
            }
        }
    }
}
