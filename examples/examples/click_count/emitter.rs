//! The emitter: users click.

use std::time::SystemTime;

use goka_examples::users::rfc3339;
use rand::rngs::SmallRng;

/// A click that happens now.
pub(crate) fn click(_: &mut SmallRng) -> String {
    rfc3339(SystemTime::now())
}
