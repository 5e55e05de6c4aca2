//! The emitter: users change their status.

use goka_examples::topics::StatusUpdate;
use rand::{Rng, rngs::SmallRng};

const STATUSES: [&str; 4] = ["here", "away", "busy", "asleep"];

/// Some status.
pub(crate) fn change(chance: &mut SmallRng) -> StatusUpdate {
    StatusUpdate {
        status: STATUSES[chance.random_range(0..STATUSES.len())].to_owned(),
    }
}
