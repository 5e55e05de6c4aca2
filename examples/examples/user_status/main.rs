//! The application user-status: the status of each user and, from the application click-count, how often the user
//! clicked.
//!
//! The two applications share a type: the service of user-status opens a view of the table of click-count.
//!
//! ```sh
//! cargo run --example user_status                             # all in one process, including click-count
//! cargo run --example user_status -- emitter                  # users change their status
//! cargo run --example user_status -- processor                # keeps the last status of each user
//! cargo run --example user_status -- service --http 127.0.0.1:8081
//! ```

mod emitter;
mod processor;
mod service;

// Without a role, both applications run in this process. With a role, the following two modules are not used.
#[path = "../click_count/emitter.rs"]
mod click_emitter;
#[path = "../click_count/processor.rs"]
mod click_processor;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use goka::{App, Config, Emitter, Stream};
use goka_examples::{
    options::{Options, Role},
    processors,
    topics::{StatusUpdate, UserClicks},
    users,
};

use click_emitter::click;
use click_processor::count;
use emitter::change;
use processor::remember;

/// Keeps the status of simulated users, and serves by HTTP their status and how often they clicked.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    let CommandLine { options } = CommandLine::parse();
    goka_examples::exit_code("user_status", run(&options).await)
}

async fn run(options: &Options) -> Result<()> {
    let config = options.place.config(options.role.is_none())?;
    let creating = |streams: &[&str]| options.place.create(config.clone(), streams);
    match options.role {
        Some(Role::Emitter) => {
            let updates = Emitter::<StatusUpdate>::new(&creating(&[StatusUpdate::NAME]))?;
            users::run(&options.load, updates, change).await
        }
        Some(Role::Processor) => {
            processors::run(App::new(config).processor(remember::Processor)).await
        }
        Some(Role::Service) => service::run(&config, options.http).await,
        None => together(options, &creating(&[StatusUpdate::NAME, UserClicks::NAME])).await,
    }
}

/// Runs both applications in this process. Their parts communicate only through the broker.
async fn together(options: &Options, config: &Config) -> Result<()> {
    let updates = Emitter::<StatusUpdate>::new(config)?;
    let clicks = Emitter::<UserClicks>::new(config)?;
    let mut running = App::new(config.clone())
        .processor(remember::Processor)
        .processor(count::Processor)
        .start()
        .await?;
    println!("users click and change their status; try /users/user-1 at the address below");
    tokio::select! {
        ended = running.wait() => Ok(ended?),
        failed = users::keep_emitting(&options.load, &updates, change) => Err(failed.into()),
        failed = users::keep_emitting(&options.load, &clicks, click) => Err(failed.into()),
        served = service::run(config, options.http) => {
            running.shutdown().await?;
            served
        }
    }
}
