//! Users click, a processor counts their clicks, a view shows the counts: a complete small example.
//!
//! Without a role, everything runs in this process, on an embedded broker:
//!
//! ```sh
//! cargo run --example clicks
//! ```
//!
//! Each role is also a program of its own: `clicks emitter`, `clicks processor` (at most one process per partition)
//! and `clicks view`. The programs know only the topics of each other, which are the types in this file.

mod emitter;
mod options;
mod processor;
mod screen;
mod table;
mod together;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use options::{Options, Role};

/// A click of a user. The key is the user's id, and the value is the time of the click.
#[goka::stream("user-clicks", value = String)]
struct UserClicks;

/// How often each user clicked.
#[goka::table(group = "my-group", value = i64)]
struct Clicks;

#[goka::processor(group = "my-group", input = UserClicks, table = Clicks)]
fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clicks: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    options.check()?;
    let config = options.config()?;
    match options.role {
        None => together::run(options, config).await,
        Some(Role::Emitter) => emitter::run(options, &config).await,
        Some(Role::Processor) => processor::run(config).await,
        Some(Role::View) => view::run(options, &config).await,
    }
}
