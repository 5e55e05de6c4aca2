//! The service: combines what two applications know about a user. It has a view of each application's table.

use std::net::SocketAddr;

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    routing::get,
};
use goka::{Config, View};
use goka_examples::{
    service::{self, Readiness, Refusal, whole},
    topics::{ClickCount, UserStatus},
};
use serde::Serialize;

#[derive(Clone)]
struct Views {
    statuses: View<UserStatus>,
    clicks: View<ClickCount>,
}

pub(crate) async fn run(config: &Config, http: SocketAddr) -> Result<()> {
    let views = Views {
        statuses: View::open(config).await?,
        clicks: View::open(config).await?,
    };
    let readiness = Readiness::default().and(&views.statuses).and(&views.clicks);
    let routes = Router::new()
        .route("/users/{user}", get(user))
        .with_state(views);
    service::serve(http, routes, readiness).await
}

#[derive(Serialize)]
struct User {
    user: String,
    /// `None` if the user never set a status.
    status: Option<String>,
    since: Option<String>,
    clicks: u64,
}

async fn user(
    State(views): State<Views>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<User>, Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    let (status, clicks) = (views.statuses.get(&user)?, views.clicks.get(&user)?);
    if status.is_none() {
        whole(&views.statuses)?;
    }
    if clicks.is_none() {
        whole(&views.clicks)?;
    }
    if status.is_none() && clicks.is_none() {
        return Err(Refusal::not_found(format!("there is no user `{user}`")));
    }
    let (status, since) = status.map(|row| (row.status, row.since)).unzip();
    Ok(Json(User {
        user,
        status,
        since,
        clicks: clicks.unwrap_or(0),
    }))
}
