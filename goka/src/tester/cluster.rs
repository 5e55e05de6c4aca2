//! The tester: a Kafka in memory, and the processors, views and emitters that use it. Must not know what a test does
//! with these.

use std::{any::Any, collections::VecDeque, fmt, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::Instant,
};

use crate::{
    app::topology::Topology,
    base::{
        config::{Config, Guarantee},
        error::Error,
    },
    engine::program::{EdgeInfo, Program},
    sim::kafka::{Chance, Mailbox, Settings, World},
    store::StateDir,
    tester::{
        instance::{Follower, Instance},
        topics::Topics,
    },
    typed::{processor::Processor, program::Typed},
};

/// The number of partitions of a topic if the test does not set one.
const PARTITIONS: i32 = 4;

/// Test kit: processors, views and emitters on a Kafka in memory. See the [module](crate::tester) for an example.
pub struct Tester {
    pub(super) world: World,
    pub(super) guarantee: Guarantee,
    pub(super) partitions: i32,
    pub(super) seed: Option<u64>,
    pub(super) topics: Topics,
    pub(super) groups: Vec<Group>,
    pub(super) views: Vec<Follower>,
    /// The mailboxes of the emitters.
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    /// The state directory of the views.
    pub(super) disk: Option<Arc<StateDir>>,
    /// The errors that stopped groups, until [`Tester::run`] returns them.
    pub(super) failures: VecDeque<Error>,
    pub(super) crashes: u32,
    /// The number of records without a key so far; these records go to the partitions in turn.
    pub(super) turn: i32,
    /// The runtime of `async fn` handlers, and the time at which the runtime's clock started. The runtime's clock
    /// follows that of `world`. `None` if the tester is used inside another runtime.
    pub(super) runtime: Option<(Runtime, Instant)>,
}

/// A processor, and the instances that run it.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) program: Arc<dyn Program>,
    pub(super) processor: Arc<dyn Any + Send + Sync>,
    pub(super) edges: Vec<EdgeInfo>,
    pub(super) instances: Vec<Instance>,
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
    /// Creates a tester without topics. Topics that are added will have 4 partitions, unless
    /// [`partitions`](Self::partitions) sets another number.
    ///
    /// # Panics
    /// If no tokio runtime can be created.
    pub fn new() -> Self {
        let runtime = Handle::try_current().is_err().then(|| {
            let runtime = Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build();
            let runtime =
                runtime.unwrap_or_else(|error| panic!("cannot create a tokio runtime: {error}"));
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

    /// Sets the number of partitions of the topics that are added by later calls for processors and views. The default
    /// is 4.
    ///
    /// # Panics
    /// If `partitions` is not positive.
    #[must_use]
    #[track_caller]
    pub fn partitions(mut self, partitions: i32) -> Self {
        assert!(partitions > 0, "a topic must have at least one partition");
        self.partitions = partitions;
        self
    }

    /// Sets the guarantee of all processors. The default is at-least-once.
    ///
    /// # Panics
    /// If a processor or a view has already been added.
    #[must_use]
    #[track_caller]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.refuse_late("guarantee");
        self.guarantee = guarantee;
        self
    }

    /// Simulates a network with a pseudo-random seed, which decides how long records take, which partition is read
    /// first, and which answers get lost. The same seed gives the same run. Without a seed, everything happens in
    /// order and without delay.
    ///
    /// # Panics
    /// If a processor or a view has already been added.
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

    /// Adds a processor and its topics. The processor runs as one instance.
    ///
    /// # Panics
    /// If the tester has a processor of this group already, if a topic was added with another codec, partitioner or
    /// kind, or if the numbers of partitions do not match.
    #[must_use]
    #[track_caller]
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        assert!(
            self.groups.iter().all(|group| group.name != P::GROUP),
            "group `{}` is in this tester already. To start another instance of the processor, call `Tester::start_instance`",
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
        let topics: Vec<_> = program
            .edges()
            .iter()
            .map(|edge| edge.topic.to_owned())
            .collect();
        self.expect(program.prepare(&topics, &Config::new()));
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

    pub(super) fn create_topics(&self) {
        for name in self.topics.declared.keys() {
            self.world.create_topic(name, self.partitions);
        }
    }

    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub(super) fn group<P: Processor>(&mut self) -> &mut Group {
        let group = self.groups.iter_mut().find(|group| {
            // Two crates may have processors whose groups have the same name.
            group.name == P::GROUP && group.processor.is::<P>()
        });
        group.unwrap_or_else(|| {
            let (processor, group) = (std::any::type_name::<P>(), P::GROUP);
            panic!("`{processor}` of group `{group}` is not in this tester. Add it with `Tester::processor`")
        })
    }

    /// Unwraps a result. An error means that goka has a bug, or that the machine fails.
    #[track_caller]
    pub(super) fn expect<T>(&self, result: crate::base::error::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            panic!("error in the tester itself: {error} ({})", self.origin())
        })
    }

    /// The seed for error messages, with which a failure can be reproduced.
    pub(super) fn origin(&self) -> String {
        match self.seed {
            None => "no seed".to_owned(),
            Some(seed) => format!("seed {seed}"),
        }
    }
}

impl Group {
    /// Whether any instance of this group runs, or is about to start.
    pub(super) fn is_wanted(&self) -> bool {
        self.instances.iter().any(|instance| instance.is_wanted)
    }
}
