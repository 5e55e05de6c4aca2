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

mod faults;
mod instance;
mod records;
#[cfg(test)]
mod refused;
mod rows;
mod running;
mod topics;

use std::{any::Any, collections::VecDeque, fmt, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::Instant,
};

pub use self::{faults::CommitStep, records::Emitted};
use self::{
    instance::{Follower, Instance},
    topics::Topics,
};
use crate::{
    app::topology::Topology,
    base::{config::Guarantee, error::Error},
    engine::program::{EdgeInfo, Program},
    sim::kafka::{Chance, Mailbox, Settings, World},
    store::StateDir,
    typed::{processor::Processor, program::Typed},
};

/// How many partitions a topic has, unless the test says otherwise.
const PARTITIONS: i32 = 4;

/// Processors over a Kafka in memory. See the [module](self).
pub struct Tester {
    world: World,
    guarantee: Guarantee,
    partitions: i32,
    seed: Option<u64>,
    topics: Topics,
    groups: Vec<Group>,
    views: Vec<Follower>,
    /// Of the emitters.
    mailboxes: Vec<Arc<Mailbox>>,
    /// Of the views.
    disk: Option<Arc<StateDir>>,
    /// Why groups ended, and nobody was told yet.
    failures: VecDeque<Error>,
    crashes: u32,
    /// For records without a key.
    turn: i32,
    /// Handlers that are `async fn` live in it, and its clock, which began then, goes with the
    /// world's. `None` within another one.
    runtime: Option<(Runtime, Instant)>,
}

/// A processor, and the processes that run it.
struct Group {
    name: &'static str,
    program: Arc<dyn Program>,
    processor: Arc<dyn Any + Send + Sync>,
    edges: Vec<EdgeInfo>,
    instances: Vec<Instance>,
}

impl fmt::Debug for Tester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.groups.iter().map(|group| group.name).collect();
        f.debug_struct("Tester")
            .field("groups", &groups)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Default for Tester {
    fn default() -> Self {
        Self::new()
    }
}

impl Tester {
    /// A Kafka without topics yet, whose topics will have 4 partitions.
    ///
    /// # Panics
    /// If there can be no tokio runtime.
    pub fn new() -> Self {
        let runtime = Handle::try_current().is_err().then(|| {
            let runtime = Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build();
            let runtime =
                runtime.unwrap_or_else(|error| panic!("cannot make a tokio runtime: {error}"));
            let began = runtime.block_on(async { Instant::now() });
            (runtime, began)
        });
        Tester {
            world: World::new(Settings::default()),
            guarantee: Guarantee::AtLeastOnce,
            partitions: PARTITIONS,
            seed: None,
            topics: Topics::default(),
            groups: Vec::new(),
            views: Vec::new(),
            mailboxes: Vec::new(),
            disk: None,
            failures: VecDeque::new(),
            crashes: 0,
            turn: 0,
            runtime,
        }
    }

    /// How many partitions the topics have that are first named by the processors and views that are
    /// added from here on.
    ///
    /// # Panics
    /// If that is not at least one.
    #[must_use]
    #[track_caller]
    pub fn partitions(mut self, partitions: i32) -> Self {
        assert!(partitions > 0, "a topic has at least one partition");
        self.partitions = partitions;
        self
    }

    /// The guarantee of the processors: at-least-once, unless set.
    ///
    /// # Panics
    /// If there is a processor already.
    #[must_use]
    #[track_caller]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.refuse_late("guarantee");
        self.guarantee = guarantee;
        self
    }

    /// Leaves to chance, repeatably, what is in a network: how long records take, which partition is
    /// read first, which answers get lost. Without a seed all happens at once and in order.
    ///
    /// # Panics
    /// If there is a processor already.
    #[must_use]
    #[track_caller]
    pub fn seed(mut self, seed: u64) -> Self {
        self.refuse_late("seed");
        self.seed = Some(seed);
        self.world = World::new(Settings {
            chance: Chance::seeded(seed),
            rebalance: Duration::from_millis(50),
            ..Settings::default()
        });
        self
    }

    #[track_caller]
    fn refuse_late(&self, what: &str) {
        assert!(
            self.topics.declared.is_empty(),
            "call `Tester::{what}` before `Tester::processor` and `Tester::view`"
        );
    }

    /// Adds a processor, which runs as one process, and its topics.
    ///
    /// # Panics
    /// If its group is here already, a topic is here as something else, or topics have numbers of
    /// partitions that do not go together.
    #[must_use]
    #[track_caller]
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        assert!(
            self.groups.iter().all(|group| group.name != P::GROUP),
            "group `{}` is in this tester already: for another instance of it call `Tester::start_instance`",
            P::GROUP
        );
        self.topics.add_graph::<P>();
        self.create_topics();
        let processor = Arc::new(processor);
        let program = Arc::new(Typed(processor.clone()));
        let checked = Topology::check_partitions(&*program, |topic| self.world.partitions(topic));
        if let Err(error) = checked {
            panic!("{error}");
        }
        let first = self.expect(Instance::new(P::GROUP, 0));
        self.groups.push(Group {
            name: P::GROUP,
            edges: program.edges(),
            program,
            processor,
            instances: vec![first],
        });
        self
    }

    fn create_topics(&self) {
        for name in self.topics.declared.keys() {
            self.world.create_topic(name, self.partitions);
        }
    }

    /// # Panics
    /// If `P` is not here.
    #[track_caller]
    fn group<P: Processor>(&mut self) -> &mut Group {
        let group = self.groups.iter_mut().find(|group| {
            // Two processors may belong to groups of one name in different crates.
            group.name == P::GROUP && group.processor.is::<P>()
        });
        group.unwrap_or_else(|| {
            let (processor, group) = (std::any::type_name::<P>(), P::GROUP);
            panic!("`{processor}` of group `{group}` is not in this tester: add it with `Tester::processor`")
        })
    }

    /// What cannot be, unless goka or this machine has a fault.
    #[track_caller]
    fn expect<T>(&self, result: crate::base::error::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("the tester itself: {error} ({})", self.origin()))
    }

    /// How to see it again.
    fn origin(&self) -> String {
        match self.seed {
            None => "no seed".to_owned(),
            Some(seed) => format!("seed {seed}"),
        }
    }
}

impl Group {
    /// Whether a process of it runs, or is about to.
    fn is_wanted(&self) -> bool {
        self.instances.iter().any(|instance| instance.is_wanted)
    }
}
