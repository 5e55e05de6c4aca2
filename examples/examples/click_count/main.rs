//! The application click-count: counts how often each user clicked.
//!
//! Each of the three programs knows of the others only the types of their topics. Without a role, one process runs all
//! three:
//!
//! ```sh
//! cargo run --example click_count                             # all in one process, on an embedded broker
//! cargo run --example click_count -- emitter                  # users click
//! cargo run --example click_count -- processor                # counts their clicks
//! cargo run --example click_count -- service --http 127.0.0.1:8080
//! ```

mod emitter;
mod processor;
mod service;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use goka::{App, Config, Emitter, Stream, View};
use goka_examples::{
    options::{Options, Role},
    processors,
    topics::{ClickCount, UserClicks},
    users,
};

use emitter::click;
use processor::count;

/// Counts clicks by simulated users and serves the counts by HTTP.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    let CommandLine { options } = CommandLine::parse();
    goka_examples::exit_code("click_count", run(&options).await)
}

async fn run(options: &Options) -> Result<()> {
    let config = options.place.config(options.role.is_none())?;
    let creating = || options.place.create(config.clone(), &[UserClicks::NAME]);
    match options.role {
        Some(Role::Emitter) => {
            users::run(
                &options.load,
                Emitter::<UserClicks>::new(&creating())?,
                click,
            )
            .await
        }
        Some(Role::Processor) => {
            processors::run(App::new(config).processor(count::Processor)).await
        }
        Some(Role::Service) => service::run(&config, options.http).await,
        None => together(options, &creating()).await,
    }
}

/// Runs all parts in this process. The parts communicate only through the broker.
async fn together(options: &Options, config: &Config) -> Result<()> {
    let clicks = Emitter::<UserClicks>::new(config)?;
    let mut running = App::new(config.clone())
        .processor(count::Processor)
        .start()
        .await?;
    println!("counting clicks; try /clicks?limit=3 and /clicks/user-1 at the address below");
    let view = View::<ClickCount>::open(config).await?;
    tokio::select! {
        ended = running.wait() => Ok(ended?),
        failed = users::keep_emitting(&options.load, &clicks, click) => Err(failed.into()),
        served = service::serve(view, options.http) => {
            running.shutdown().await?;
            served
        }
    }
}
