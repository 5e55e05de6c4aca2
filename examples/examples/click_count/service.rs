//! The service: answers requests from a local copy of the table. All replicas of the service give the same answers.

use std::net::SocketAddr;

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    routing::get,
};
use goka::{Config, View};
use goka_examples::{
    service::{self, Readiness, Refusal, whole},
    topics::ClickCount,
};
use serde::{Deserialize, Serialize};

pub(crate) async fn run(config: &Config, http: SocketAddr) -> Result<()> {
    serve(View::open(config).await?, http).await
}

pub(crate) async fn serve(view: View<ClickCount>, http: SocketAddr) -> Result<()> {
    let readiness = Readiness::default().and(&view);
    let routes = Router::new()
        .route("/clicks", get(list))
        .route("/clicks/{user}", get(one))
        .with_state(view);
    service::serve(http, routes, readiness).await
}

#[derive(Serialize)]
struct UserClicked {
    user: String,
    clicks: u64,
}

async fn one(
    State(view): State<View<ClickCount>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<UserClicked>, Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    let Some(clicks) = view.get(&user)? else {
        whole(&view)?;
        return Err(Refusal::not_found(format!("`{user}` has never clicked")));
    };
    Ok(Json(UserClicked { user, clicks }))
}

/// Query parameters of a request for a list of users.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Prefix of the users' ids.
    #[serde(default)]
    prefix: String,
    /// Maximum number of users in the list, which is in the order of their ids.
    #[serde(default = "some")]
    limit: usize,
}

fn some() -> usize {
    100
}

/// Maximum value of `limit`: a longer response would delay other requests.
const LIMIT_MAX: usize = 1_000;

async fn list(
    State(view): State<View<ClickCount>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Vec<UserClicked>>, Refusal> {
    let Query(wanted) = wanted.map_err(Refusal::bad_request)?;
    if !(1..=LIMIT_MAX).contains(&wanted.limit) {
        let why = format!(
            "`limit` must be between 1 and {LIMIT_MAX}, but is {}",
            wanted.limit
        );
        return Err(Refusal::bad_request(why));
    }
    whole(&view)?;
    let rows = view.prefix(&wanted.prefix).take(wanted.limit);
    let users = rows.map(|row| row.map(|(user, clicks)| UserClicked { user, clicks }));
    Ok(Json(users.collect::<Result<_, _>>()?))
}
