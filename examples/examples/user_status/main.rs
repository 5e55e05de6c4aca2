//! The application user-status: what each user is up to, and, from the application click-count, how often they clicked.
//!
//! It is composed with click-count by a type: its service reads the table of that application by a view.
//!
//! ```sh
//! cargo run --example user_status                             # all in one process, click-count too
//! cargo run --example user_status -- emitter                  # users change their status
//! cargo run --example user_status -- processor                # keeps the last status of each user
//! cargo run --example user_status -- service --http 127.0.0.1:8081
//! ```

mod emitter;
mod processor;
mod service;

// Without a role both applications run here. Otherwise nothing of the other one is used.
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

/// Keeps the status of simulated users, and answers by HTTP what it is, and how often they clicked.
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

/// Both applications in this process; each part sees the others through the broker alone.
async fn together(options: &Options, config: &Config) -> Result<()> {
    let updates = Emitter::<StatusUpdate>::new(config)?;
    let clicks = Emitter::<UserClicks>::new(config)?;
    let mut running = App::new(config.clone())
        .processor(remember::Processor)
        .processor(count::Processor)
        .start()
        .await?;
    println!("users click and change their status; try for example /users/user-1 below");
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
