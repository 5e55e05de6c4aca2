//! The emitter: users change their status.

use std::future::pending;

use anyhow::Result;
use goka::{Config, Emitter};
use goka_examples::{
    options::Load,
    topics::StatusUpdate,
    users::{emit, run_emitter},
};
use rand::{Rng, rngs::SmallRng};

const STATUSES: [&str; 4] = ["here", "away", "busy", "asleep"];

fn any(chance: &mut SmallRng) -> StatusUpdate {
    StatusUpdate {
        status: STATUSES[chance.random_range(0..STATUSES.len())].to_owned(),
    }
}

pub(crate) async fn run(load: &Load, config: &Config) -> Result<()> {
    run_emitter(load, Emitter::<StatusUpdate>::new(config)?, any).await
}

/// Within another program. Returns only if it fails.
pub(crate) async fn update(load: &Load, updates: &Emitter<StatusUpdate>) -> Result<()> {
    emit(load, updates, any, |_| ()).await?;
    pending().await
}
