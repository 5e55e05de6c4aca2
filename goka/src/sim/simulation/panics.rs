//! A panic in a simulation is a failure like any other: caught, quiet, with its place.
//!
//! A schedule that fails is run a thousand times to cut it down, and must not print as often. Panics
//! elsewhere are printed as ever.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// Set while panics of this thread are kept: the last one.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs it; a panic becomes an error that says what it said, and where.
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
