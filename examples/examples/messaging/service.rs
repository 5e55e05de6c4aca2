//! The feed service: users send messages and read their feeds; moderators block users and translate words.

use std::net::SocketAddr;

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{
        FromRef, Path, State,
        rejection::{JsonRejection, PathRejection},
    },
    http::StatusCode,
    routing::{get, post, put},
};
use goka::{Config, Emitter, Stream, View};
use goka_examples::service::{self, Readiness, Refusal, whole};
use serde::Deserialize;

use crate::topics::{BlockUser, Feed, Message, Sent, TranslateWord};

#[derive(Clone, FromRef)]
struct Streams {
    feeds: View<Feed>,
    sent: Emitter<Sent>,
    block_user: Emitter<BlockUser>,
    translate_word: Emitter<TranslateWord>,
}

pub(crate) async fn run(config: &Config, http: SocketAddr) -> Result<()> {
    // The maximum time for which a request waits if the broker is unavailable.
    let config = &config.clone().set_producer("message.timeout.ms", "2000");
    let streams = Streams {
        feeds: View::open(config).await?,
        sent: Emitter::new(config)?,
        block_user: Emitter::new(config)?,
        translate_word: Emitter::new(config)?,
    };
    let readiness = Readiness::default().and(&streams.feeds);
    let routes = Router::new()
        .route("/users/{user}/feed", get(feed))
        .route("/users/{user}/messages", post(send))
        .route("/blocked/{user}", put(block).delete(unblock))
        .route("/translations/{word}", put(translate).delete(forget))
        .with_state(streams);
    service::serve(http, routes, readiness).await
}

type Key = Result<Path<String>, PathRejection>;
type Body<T> = Result<Json<T>, JsonRejection>;

async fn feed(State(feeds): State<View<Feed>>, user: Key) -> Result<Json<Vec<Message>>, Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    let Some(feed) = feeds.get(&user)? else {
        whole(&feeds)?;
        return Err(Refusal::not_found(format!(
            "`{user}` has received no message"
        )));
    };
    Ok(Json(feed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    to: String,
    content: String,
}

async fn send(
    State(sent): State<Emitter<Sent>>,
    user: Key,
    letter: Body<Letter>,
) -> Result<StatusCode, Refusal> {
    let Path(from) = user.map_err(Refusal::bad_request)?;
    let Json(Letter { to, content }) = letter.map_err(Refusal::bad_request)?;
    let message = Message {
        from: from.clone(),
        to,
        content,
    };
    write(&sent, &from, Some(&message)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    why: String,
}

async fn block(
    State(block_user): State<Emitter<BlockUser>>,
    user: Key,
    block: Body<Block>,
) -> Result<StatusCode, Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    let Json(Block { why }) = block.map_err(Refusal::bad_request)?;
    write(&block_user, &user, Some(&why)).await
}

async fn unblock(
    State(block_user): State<Emitter<BlockUser>>,
    user: Key,
) -> Result<StatusCode, Refusal> {
    let Path(user) = user.map_err(Refusal::bad_request)?;
    write(&block_user, &user, None).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Translate {
    into: String,
}

async fn translate(
    State(translate_word): State<Emitter<TranslateWord>>,
    word: Key,
    translate: Body<Translate>,
) -> Result<StatusCode, Refusal> {
    let Path(word) = word.map_err(Refusal::bad_request)?;
    let Json(Translate { into }) = translate.map_err(Refusal::bad_request)?;
    write(&translate_word, &word, Some(&into)).await
}

async fn forget(
    State(translate_word): State<Emitter<TranslateWord>>,
    word: Key,
) -> Result<StatusCode, Refusal> {
    let Path(word) = word.map_err(Refusal::bad_request)?;
    write(&translate_word, &word, None).await
}

/// Responds when the broker has acknowledged the record. The processors handle the record a moment later.
async fn write<S: Stream<Key = String>>(
    emitter: &Emitter<S>,
    key: &str,
    value: Option<&S::Value>,
) -> Result<StatusCode, Refusal> {
    // Waits while too many messages are in flight, without blocking other requests.
    emitter.ready().await?;
    let delivery = match value {
        Some(value) => emitter.emit(key, value)?,
        None => emitter.tombstone(key)?,
    };
    delivery.await.map_err(Refusal::unavailable)?;
    Ok(StatusCode::ACCEPTED)
}
