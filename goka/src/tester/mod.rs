//! Tests of processors: the engine that runs in production, over a Kafka in memory, in virtual time.
//!
//! Needs the feature `tester`, which belongs to a crate's dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! goka = { version = "0.1", features = ["tester"] }
//! ```
//!
//! ```
//! /// Clicks per user.
//! #[goka::table(group = "my-group", value = i64)]
//! pub struct Clicks;
//!
//! #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
//! fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
//!     let clicks = ctx.value()?.unwrap_or(0);
//!     ctx.set_value(&(clicks + 1))
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn counts() {
//!     let mut tester = goka::Tester::new().processor(count::Processor);
//!     tester.set::<Clicks>("alice", &41);
//!     tester.emit_to::<count::Processor>("user-clicks", "alice", &"12:00".to_owned());
//!     assert_eq!(tester.get::<Clicks>("alice"), Some(42));
//!     assert_eq!(tester.get::<Clicks>("bob"), None);
//! }
//! # counts();
//! ```
//!
//! A [`Tester`] is a Kafka, and the programs around it: each processor that is added runs as a
//! process of its own, with its own local state. Whatever asks it something lets them run until all
//! is handled and committed, and then answers; nothing has to be waited for. Time passes only in
//! between, and as much as is needed: a test of a timeout takes milliseconds.
//!
//! | to | call |
//! |---|---|
//! | write to a stream | [`emit`](Tester::emit), [`emit_with`](Tester::emit_with), [`tombstone`](Tester::tombstone) |
//! | write to an input that the processor names by a literal | [`emit_to`](Tester::emit_to) |
//! | give a service its emitter | [`emitter`](Tester::emitter) |
//! | see what was emitted | [`emitted`](Tester::emitted) |
//! | read tables | [`get`](Tester::get), [`rows`](Tester::rows), [`view`](Tester::view) |
//! | write tables, of the processors here or of others | [`set`](Tester::set), [`delete`](Tester::delete) |
//! | call a visitor | [`visit`](Tester::visit) |
//! | see why a handler failed | [`run`](Tester::run) |
//! | let time pass | [`advance`](Tester::advance) |
//! | start anew, or crash | [`restart`](Tester::restart), [`crash`](Tester::crash), [`crash_at`](Tester::crash_at) |
//! | move partitions | [`start_instance`](Tester::start_instance), [`stop_instance`](Tester::stop_instance) |
//! | trouble the broker | [`outage`](Tester::outage), [`fail_deliveries`](Tester::fail_deliveries) |
//!
//! What is wrong with a test itself, an unknown topic or a value of another type, is a panic with the
//! cure. So is an error of a handler, unless [`run`](Tester::run) takes it before.

mod cluster;
mod faults;
mod instance;
mod records;
#[cfg(test)]
mod refused;
mod rows;
mod running;
mod topics;

pub use self::{cluster::Tester, faults::CommitStep, records::Emitted};
