//! Test kit: runs processors on a Kafka in memory, in virtual time, with the engine that runs in production.
//!
//! Enable the feature `tester` in the dev-dependencies of a crate:
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
//! A [`Tester`] is a Kafka and the programs around it. Each processor that is added runs as a process of its own, with
//! its own local state. Every query first runs all processors until they have processed and committed everything, and
//! then answers, so that a test never has to wait. Virtual time passes only while processors run, and only as much as
//! they need, so that a test of a timeout takes milliseconds.
//!
//! | to | call |
//! |---|---|
//! | write to a stream | [`emit`](Tester::emit), [`emit_with`](Tester::emit_with), [`tombstone`](Tester::tombstone) |
//! | write to an input that the processor names by a literal | [`emit_to`](Tester::emit_to) |
//! | get an emitter for a service under test | [`emitter`](Tester::emitter) |
//! | read what was emitted | [`emitted`](Tester::emitted) |
//! | read tables | [`get`](Tester::get), [`rows`](Tester::rows), [`view`](Tester::view) |
//! | write tables, of these processors or of other groups | [`set`](Tester::set), [`delete`](Tester::delete) |
//! | run a visitor | [`visit`](Tester::visit) |
//! | get the error of a handler | [`run`](Tester::run) |
//! | let time pass | [`advance`](Tester::advance) |
//! | restart or kill | [`restart`](Tester::restart), [`crash`](Tester::crash), [`crash_at`](Tester::crash_at) |
//! | move partitions | [`start_instance`](Tester::start_instance), [`stop_instance`](Tester::stop_instance) |
//! | make the broker fail | [`outage`](Tester::outage), [`fail_deliveries`](Tester::fail_deliveries) |
//!
//! A mistake in a test, such as an unknown topic or a value of another type, causes a panic that says what to do. An
//! error of a handler causes a panic as well, unless [`run`](Tester::run) has already returned the error.

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
