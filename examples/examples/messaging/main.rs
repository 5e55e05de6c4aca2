//! Messages between users, after Goka's example 3: a service and five processors, each of which can be written, started
//! and replaced on its own.
//!
//! ```text
//!                 messages-sent                 messages-received
//! service  ───────────┬──────────>  filter  ───────────┬──────────>  collector  ──(table)──>  service
//!                     │              ^  ^              │
//!                     └> detector <──│──│──────────────┘
//!                           │        │  └──(table, lookup)──  translator  <── translate-word ──  service
//!                           └──────────── block-user ──>  blocker ──(table, join)──> filter
//! ```
//!
//! ```sh
//! cargo run --example messaging                    # all in one process, on an embedded broker
//! cargo run --example messaging -- filter          # one of blocker, translator, filter, collector, detector, service
//! ```

mod blocker;
mod collector;
mod detector;
mod filter;
mod service;
#[cfg(test)]
mod tests;
mod topics;
mod translator;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use goka::{App, Config};
use goka_examples::{options::Place, processors};

use blocker::block;
use collector::collect;
use detector::Detector;
use filter::deliver;
use translator::learn;

/// Delivers messages between users, except those of blocked users, with translated words.
#[derive(Parser)]
struct Options {
    /// Which part to run; without it, all parts, on an embedded broker in this process.
    #[arg(value_enum)]
    role: Option<Role>,

    /// Address that the service listens on, which it prints; port 0 chooses a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,

    /// Minimum number of messages before a user can be blocked as a spammer (detector).
    #[arg(long, value_name = "N", default_value_t = 20)]
    messages_min: u64,

    #[command(flatten)]
    place: Place,
}

/// The roles, in the order in which to start them: each role needs the tables of those before it.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Keeps the table of blocked users.
    Blocker,
    /// Keeps the table of translations.
    Translator,
    /// Delivers messages of users who are not blocked, with translated words.
    Filter,
    /// Keeps the last messages that each user received.
    Collector,
    /// Blocks spammers.
    Detector,
    /// Receives messages and serves feeds, by HTTP.
    Service,
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    goka_examples::exit_code("messaging", run(&Options::parse()).await)
}

async fn run(options: &Options) -> Result<()> {
    let config = options.place.config(options.role.is_none())?;
    let config = topics::create_streams(config, options.place.partitions);
    let app = App::new(config.clone());
    let detector = Detector {
        messages_min: options.messages_min,
        sent_share_max: 0.9,
    };
    match options.role {
        None => together(options, &config, detector).await,
        Some(Role::Blocker) => processors::run(app.processor(block::Processor)).await,
        Some(Role::Translator) => processors::run(app.processor(learn::Processor)).await,
        Some(Role::Filter) => processors::run(app.processor(deliver::Processor)).await,
        Some(Role::Collector) => processors::run(app.processor(collect::Processor)).await,
        Some(Role::Detector) => processors::run(app.processor(detector)).await,
        Some(Role::Service) => service::run(&config, options.http).await,
    }
}

/// Runs all parts in this process. The parts communicate only through the broker.
async fn together(options: &Options, config: &Config, detector: Detector) -> Result<()> {
    let mut running = App::new(config.clone())
        .processor(block::Processor)
        .processor(learn::Processor)
        .processor(deliver::Processor)
        .processor(collect::Processor)
        .processor(detector)
        .start()
        .await?;
    println!("send a message and read it, with the address below:");
    println!(
        r#"  curl -H content-type:application/json -d '{{"to":"bob","content":"hi"}}' ADDRESS/users/alice/messages"#
    );
    println!("  curl ADDRESS/users/bob/feed");
    tokio::select! {
        ended = running.wait() => Ok(ended?),
        served = service::run(config, options.http) => {
            running.shutdown().await?;
            served
        }
    }
}
