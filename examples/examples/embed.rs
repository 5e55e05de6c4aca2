//! An emitter inside another system: a plain HTTP server that responds when Kafka has acknowledged the click.
//!
//! ```sh
//! cargo run --example embed -- --http 127.0.0.1:8082
//! curl -X POST http://127.0.0.1:8082/clicks/alice
//! ```
//!
//! The server has no `/readyz`, because only the next click shows whether clicks can be written. If a click cannot be
//! written, the response is 503.
//!
//! If `--brokers` names a broker, another process can count these clicks: the processor of `click_count`, with
//! `click_count -- processor`.

use std::{net::SocketAddr, process::ExitCode, time::SystemTime};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    routing::post,
};
use clap::Parser;
use goka::{Emitter, Stream};
use goka_examples::{
    options::Place,
    service::{self, Readiness, Refusal},
    topics::UserClicks,
    users::rfc3339,
};
use serde_json::{Value, json};

/// Receives clicks by HTTP and writes them to the stream `user-clicks`.
#[derive(Parser)]
struct Options {
    /// Address to listen on, which is printed; port 0 chooses a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,

    #[command(flatten)]
    place: Place,
}

#[tokio::main]
async fn main() -> ExitCode {
    goka_examples::log_quietly();
    goka_examples::exit_code("embed", run(Options::parse()).await)
}

async fn run(options: Options) -> Result<()> {
    let config = options.place.config(true)?;
    // The maximum time for which a request waits if the broker is unavailable.
    let config = config.set_producer("message.timeout.ms", "2000");
    let config = options.place.create(config, &[UserClicks::NAME]);
    let clicks = Emitter::<UserClicks>::new(&config)?;
    let routes = Router::new()
        .route("/clicks/{user}", post(click))
        .with_state(clicks.clone());
    service::serve(options.http, routes, Readiness::default()).await?;
    Ok(clicks.close().await?)
}

async fn click(
    State(clicks): State<Emitter<UserClicks>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    // Waits while too many messages are in flight, without blocking other requests.
    clicks.ready().await?;
    let delivered = clicks.emit(&user, &rfc3339(SystemTime::now()))?.await;
    let at = delivered.map_err(Refusal::unavailable)?;
    let at = json!({ "partition": at.partition, "offset": at.offset });
    Ok((StatusCode::CREATED, Json(at)))
}
