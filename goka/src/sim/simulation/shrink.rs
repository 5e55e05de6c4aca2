//! Shortens a failing schedule to the actions that the failure needs.
//!
//! Must not know why the schedule fails.

use super::schedule::Schedule;

/// Maximum number of attempts to shorten a schedule, if it has to become short.
pub(super) const TRIES_MAX: usize = 1500;

/// Returns the shortest schedule found that still fails, after at most `tries_max` attempts.
pub(super) fn shrink(
    schedule: &Schedule,
    tries_max: usize,
    fails: &dyn Fn(&Schedule) -> bool,
) -> Schedule {
    let mut shortest = schedule.clone();
    let mut tries = 0;
    let mut still_fails = |actions: Vec<_>| {
        tries += 1;
        let shorter = Schedule {
            actions,
            ..schedule.clone()
        };
        (tries <= tries_max && fails(&shorter)).then_some(shorter)
    };
    // First cuts off the end of the schedule, then cuts out smaller and smaller pieces.
    let mut enough = shortest.actions.len();
    let mut too_few = 0;
    while too_few + 1 < enough {
        let middle = too_few.midpoint(enough);
        match still_fails(schedule.actions[..middle].to_vec()) {
            Some(shorter) => {
                enough = middle;
                shortest = shorter;
            }
            None => too_few = middle,
        }
    }
    let mut piece = shortest.actions.len().div_ceil(2);
    while piece > 0 {
        let before = shortest.actions.len();
        let mut from = 0;
        while from < shortest.actions.len() {
            let mut actions = shortest.actions.clone();
            actions.drain(from..(from + piece).min(shortest.actions.len()));
            match still_fails(actions) {
                Some(shorter) => shortest = shorter,
                None => from += piece,
            }
        }
        if piece > 1 || shortest.actions.len() == before {
            piece /= 2;
        }
    }
    shortest
}
