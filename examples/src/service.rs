//! Parts that every service shares: the HTTP server, health and readiness probes, and errors as JSON. Must not know the
//! routes of a service.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, anyhow};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use goka::{SharedTable, View, view::ViewState};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};

use crate::asked_to_end;

/// Interval between two checks whether a view is up to date.
const LOOK: Duration = Duration::from_secs(1);
/// How long a view may take to catch up with the end of its table. After that time, the service is reported as not
/// ready.
const KEEPS_UP: Duration = Duration::from_secs(2);

/// An error response: `{"error": "…"}`.
#[derive(Debug)]
pub struct Refusal(StatusCode, String);

impl Refusal {
    /// The request is invalid (400).
    pub fn bad_request(why: impl ToString) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, why.to_string())
    }

    /// The requested item does not exist (404).
    pub fn not_found(what: impl ToString) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, what.to_string())
    }

    /// The service cannot answer at the moment. A later request, or another replica, may succeed (503).
    pub fn unavailable(why: impl ToString) -> Refusal {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
    }
}

/// The local copy cannot be read, which is not the client's fault (500).
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

/// Checks that the view has read the whole table. Until then, a missing row does not mean that the table lacks the
/// row.
///
/// # Errors
/// If the view still recovers. The client may ask again later, or ask another replica.
pub fn whole<T>(view: &View<T>) -> Result<(), Refusal> {
    match view.state() {
        ViewState::Recovering { progress, .. } => Err(Refusal::unavailable(format!(
            "the local copy of the table is {:.0} % complete: ask again later",
            progress * 100.0
        ))),
        _ => Ok(()),
    }
}

/// Why a service cannot answer at the moment; `None` if it can.
type WhyNot = Option<Trouble>;

#[derive(Clone, PartialEq)]
enum Trouble {
    /// The trouble is temporary.
    NotReady(String),
    /// Only a restart helps.
    Failed(String),
}

/// The readiness of a service: whether its views are up to date.
#[derive(Clone, Default)]
pub struct Readiness(Vec<watch::Receiver<WhyNot>>);

impl Readiness {
    /// Adds a view. The view is checked for as long as the program runs.
    #[must_use]
    pub fn and<T: SharedTable>(mut self, view: &View<T>) -> Readiness {
        let trouble = Trouble::NotReady(format!(
            "the local copy of `{}` has not been checked yet",
            T::NAME
        ));
        let (sender, receiver) = watch::channel(Some(trouble));
        tokio::spawn(look_after(view.clone(), sender));
        self.0.push(receiver);
        self
    }

    fn trouble(&self) -> WhyNot {
        self.0.iter().find_map(|view| view.borrow().clone())
    }
}

/// Checks a view repeatedly. A view answers from its local copy even if the broker is unavailable, but only the broker
/// knows where the table ends, and therefore whether the copy is up to date.
async fn look_after<T: SharedTable>(view: View<T>, trouble: watch::Sender<WhyNot>) {
    while !trouble.is_closed() {
        let mut catching_up = std::pin::pin!(view.caught_up());
        let caught_up = match timeout(KEEPS_UP, &mut catching_up).await {
            Ok(caught_up) => caught_up,
            Err(_) => {
                let why = match view.state() {
                    ViewState::Recovering { progress, .. } => {
                        format!("{:.0} % of `{}` is restored", progress * 100.0, T::NAME)
                    }
                    _ => format!(
                        "the local copy of `{}` lags, or the broker is unavailable",
                        T::NAME
                    ),
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

/// The liveness probe: fails only if a restart would help.
async fn healthz(State(readiness): State<Readiness>) -> Result<&'static str, Refusal> {
    match readiness.trouble() {
        Some(Trouble::Failed(why)) => Err(Refusal::unavailable(why)),
        _ => Ok("alive\n"),
    }
}

/// The readiness probe: succeeds if answers are complete and up to date.
async fn readyz(State(readiness): State<Readiness>) -> Result<&'static str, Refusal> {
    match readiness.trouble() {
        Some(Trouble::NotReady(why) | Trouble::Failed(why)) => Err(Refusal::unavailable(why)),
        None => Ok("ready\n"),
    }
}

/// Serves `routes` and `/healthz` until Ctrl-C, and also `/readyz` if the service has views. Prints the address.
///
/// # Errors
/// If the service cannot listen on the address.
pub async fn serve(address: SocketAddr, routes: Router, readiness: Readiness) -> Result<()> {
    let mut probes = Router::new().route("/healthz", get(healthz));
    if !readiness.0.is_empty() {
        probes = probes.route("/readyz", get(readyz));
    }
    let probes = probes.with_state(readiness);
    let all = routes
        .merge(probes)
        .fallback(async || Refusal::not_found("no such path"))
        .method_not_allowed_fallback(async || {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not support this method".to_owned(),
            )
        });
    let listener = TcpListener::bind(address).await.map_err(|error| {
        anyhow!(
            "cannot listen on {address}: {error}; choose another address with --http (port 0 chooses a free port)"
        )
    })?;
    println!("http://{}", listener.local_addr()?);
    let ended = async {
        // If the process cannot handle signals, a signal ends it immediately.
        if asked_to_end().await.is_err() {
            std::future::pending().await
        }
    };
    axum::serve(listener, all)
        .with_graceful_shutdown(ended)
        .await?;
    Ok(())
}
