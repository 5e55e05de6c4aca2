//! The emitter: generates changes of status.

use goka_examples::topics::StatusUpdate;
use rand::{Rng, rngs::SmallRng};

const STATUSES: [&str; 4] = ["here", "away", "busy", "asleep"];

/// A random status.
pub(crate) fn change(chance: &mut SmallRng) -> StatusUpdate {
    StatusUpdate {
        status: STATUSES[chance.random_range(0..STATUSES.len())].to_owned(),
    }
}
