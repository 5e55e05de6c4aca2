//! The app: processors and settings, before they run.

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

/// Processors to be run together in this process.
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
    /// An app without processors yet.
    pub fn new(config: Config) -> Self {
        App {
            config,
            programs: Vec::new(),
            graph: Graph::default(),
        }
    }

    /// [`App::new`] with [`Config::from_env`].
    ///
    /// # Errors
    /// If a variable is malformed or unknown.
    pub fn from_env() -> Result<Self> {
        Config::from_env().map(Self::new)
    }

    /// Adds a processor. One value serves all of its workers.
    #[must_use]
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        self.programs.push(Arc::new(Typed(Arc::new(processor))));
        self.graph.add::<P>();
        self
    }

    /// What its processors read and write, as data: to be drawn or stored.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Checks the topics, creates the groups' own ones and starts the workers. Handlers that are
    /// `async fn` run within the tokio runtime that this is called in.
    ///
    /// Installs no signal handlers.
    ///
    /// # Errors
    /// If no broker answers within 10 seconds, a topic is missing or not as the graph needs it, or
    /// the state directory cannot be used. Nothing runs then.
    pub async fn start(self) -> Result<Running> {
        let runtime = Handle::try_current().ok();
        blocking("start the app", move || {
            launch::launch(self.config, self.programs, runtime)
        })
        .await
    }

    /// Lets the groups of this app begin anew, for example after a mistake in a handler was mended: their
    /// inputs at `to`, with empty tables, and nothing in their loops. Local copies in this state directory are
    /// deleted; those of other instances follow.
    ///
    /// Processors must not run meanwhile. If it fails in the middle, call it again before any is started. What
    /// was written to outputs stays.
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
    /// If a group has members that stay for longer than a session, which is waited for, or another process
    /// uses the state directory; as [`start`](Self::start); and on the embedded broker, which has nothing to
    /// reset.
    pub async fn reset(self, to: ResetTo) -> Result {
        blocking("reset the groups", move || {
            reset::reset(&self.config, &self.programs, to)
        })
        .await
    }

    /// [`start`](Self::start), then runs until SIGINT or SIGTERM, and shuts down: handles what was
    /// begun, commits, leaves the groups. A handler that keeps its thread is waited for; an `async fn` that waits is
    /// dropped, and its record handled again. A second signal ends it at once: what is not committed by then is handled
    /// again, too.
    ///
    /// # Errors
    /// As `start`, and if a processor fails while it runs; [`Error::Closed`] after a second signal.
    pub async fn run(self) -> Result {
        let mut signals = Signals::new()?;
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
