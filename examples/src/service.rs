//! What every service has in common: where it listens, whether it is healthy and ready, and that its errors are JSON.
//! Must not know what it answers.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, anyhow};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use goka::{SharedTable, View, ViewState};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};

use crate::asked_to_end;

/// Between two looks at whether a view keeps up.
const LOOK: Duration = Duration::from_secs(1);
/// How long a view may take to have all that is in its table at the moment, before the service is not ready.
const KEEPS_UP: Duration = Duration::from_secs(2);

/// An answer that is not what was asked for: `{"error": "…"}`.
#[derive(Debug)]
pub struct Refusal(StatusCode, String);

impl Refusal {
    /// The request makes no sense.
    pub fn bad_request(why: impl ToString) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, why.to_string())
    }

    /// There is no such thing.
    pub fn not_found(what: impl ToString) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, what.to_string())
    }

    /// It may be answered later, or by another replica.
    pub fn unavailable(why: impl ToString) -> Refusal {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
    }
}

/// The local copy cannot be read: not the fault of who asks.
impl From<goka::Error> for Refusal {
    fn from(error: goka::Error) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(status, error) = self;
        (status, Json(json!({ "error": error }))).into_response()
    }
}

/// That a row is not in a view says nothing until all of the table was read.
///
/// # Errors
/// As long as it was not: ask later, or another replica.
pub fn whole<T>(view: &View<T>) -> Result<(), Refusal> {
    match view.state() {
        ViewState::Recovering { progress, .. } => Err(Refusal::unavailable(format!(
            "the local copy of the table is {:.0} % complete: ask again later",
            progress * 100.0
        ))),
        _ => Ok(()),
    }
}

/// Why a service should not be asked at the moment; nothing if it should.
type WhyNot = Option<Trouble>;

#[derive(Clone, PartialEq)]
enum Trouble {
    /// It will pass.
    NotReady(String),
    /// Only a restart helps.
    Failed(String),
}

/// Whether the views of a service keep up with their tables.
#[derive(Clone, Default)]
pub struct Readiness(Vec<watch::Receiver<WhyNot>>);

impl Readiness {
    /// Looks after one more view, for as long as the program runs.
    #[must_use]
    pub fn and<T: SharedTable>(mut self, view: &View<T>) -> Readiness {
        let trouble = Trouble::NotReady(format!("`{}` was not read yet", T::NAME));
        let (sender, receiver) = watch::channel(Some(trouble));
        tokio::spawn(look_after(view.clone(), sender));
        self.0.push(receiver);
        self
    }

    fn trouble(&self) -> WhyNot {
        self.0.iter().find_map(|view| view.borrow().clone())
    }
}

/// A view answers from its local copy whether or not the broker is there. Whether the copy is up to date, only the
/// broker can tell: so it is asked where the table ends, again and again.
async fn look_after<T: SharedTable>(view: View<T>, trouble: watch::Sender<WhyNot>) {
    while !trouble.is_closed() {
        let mut catching_up = std::pin::pin!(view.caught_up());
        let caught_up = match timeout(KEEPS_UP, &mut catching_up).await {
            Ok(caught_up) => caught_up,
            Err(_) => {
                let why = match view.state() {
                    ViewState::Recovering { progress, .. } => {
                        format!("{:.0} % of `{}` is read", progress * 100.0, T::NAME)
                    }
                    _ => format!("`{}` is behind, or the broker cannot be reached", T::NAME),
                };
                trouble.send_replace(Some(Trouble::NotReady(why)));
                catching_up.await
            }
        };
        let now = match (view.state(), caught_up) {
            (ViewState::Failed(why), _) => Some(Trouble::Failed(why)),
            (_, Err(error)) => Some(Trouble::NotReady(error.to_string())),
            (_, Ok(())) => None,
        };
        trouble.send_replace(now);
        sleep(LOOK).await;
    }
}

/// Whether a restart would not help.
async fn healthz(State(readiness): State<Readiness>) -> Result<&'static str, Refusal> {
    match readiness.trouble() {
        Some(Trouble::Failed(why)) => Err(Refusal::unavailable(why)),
        _ => Ok("alive\n"),
    }
}

/// Whether answers are whole and up to date.
async fn readyz(State(readiness): State<Readiness>) -> Result<&'static str, Refusal> {
    match readiness.trouble() {
        Some(Trouble::NotReady(why) | Trouble::Failed(why)) => Err(Refusal::unavailable(why)),
        None => Ok("ready\n"),
    }
}

/// Serves `routes`, `/healthz`, and where there are views, which alone can tell, `/readyz`, until Ctrl-C. Prints
/// where.
///
/// # Errors
/// If the address cannot be listened at.
pub async fn serve(address: SocketAddr, routes: Router, readiness: Readiness) -> Result<()> {
    let mut probes = Router::new().route("/healthz", get(healthz));
    if !readiness.0.is_empty() {
        probes = probes.route("/readyz", get(readyz));
    }
    let probes = probes.with_state(readiness);
    let all = routes
        .merge(probes)
        .fallback(async || Refusal::not_found("there is nothing here"))
        .method_not_allowed_fallback(async || {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this is done by another method".to_owned(),
            )
        });
    let listener = TcpListener::bind(address).await.map_err(|error| {
        anyhow!(
            "cannot listen at {address}: {error}; choose another by --http, port 0 is a free one"
        )
    })?;
    println!("http://{}", listener.local_addr()?);
    let ended = async {
        // A process that cannot hear signals ends at once by them.
        if asked_to_end().await.is_err() {
            std::future::pending().await
        }
    };
    axum::serve(listener, all)
        .with_graceful_shutdown(ended)
        .await?;
    Ok(())
}
