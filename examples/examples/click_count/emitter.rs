//! The emitter: generates clicks.

use std::time::SystemTime;

use goka_examples::users::rfc3339;
use rand::rngs::SmallRng;

/// The value of a click that happens now: the time as text.
pub(crate) fn click(_: &mut SmallRng) -> String {
    rfc3339(SystemTime::now())
}
