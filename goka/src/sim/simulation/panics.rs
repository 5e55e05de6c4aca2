//! Turns a panic in a simulation into an error with the message and place of the panic, without printing it.
//!
//! Shortening a failing schedule runs the schedule a thousand times, and must not print a thousand panics. Panics
//! outside of simulations are printed as usual.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// The last panic of this thread. `None` while the panics of this thread are not caught; empty before the first
    /// panic.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `run`, and turns a panic into an error with the panic's message and place.
pub(super) fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            let keep = |kept: &mut Option<String>| match kept {
                Some(kept) => {
                    *kept = panic.to_string();
                    true
                }
                None => false,
            };
            if !KEPT.with_borrow_mut(keep) {
                print(panic);
            }
        }));
    });
    KEPT.set(Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let kept = KEPT.take().unwrap_or_default();
    outcome.unwrap_or(Err(kept))
}
