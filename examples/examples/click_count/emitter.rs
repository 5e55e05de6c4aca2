//! The emitter: users click.

use std::future::pending;

use anyhow::Result;
use goka::{Config, Emitter};
use goka_examples::{
    options::Load,
    topics::UserClicks,
    users::{emit, now, run_emitter},
};

pub(crate) async fn run(load: &Load, config: &Config) -> Result<()> {
    run_emitter(load, Emitter::<UserClicks>::new(config)?, |_| now()).await
}

/// Within another program. Returns only if it fails.
pub(crate) async fn click(load: &Load, clicks: &Emitter<UserClicks>) -> Result<()> {
    emit(load, clicks, |_| now(), |_| ()).await?;
    pending().await
}
