//! A Kafka in memory, and the processors, views and emitters around it. Must not know what a test does with them.

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

/// How many partitions a topic has, unless the test says otherwise.
const PARTITIONS: i32 = 4;

/// Processors over a Kafka in memory. See the [module](crate::tester).
pub struct Tester {
    pub(super) world: World,
    pub(super) guarantee: Guarantee,
    pub(super) partitions: i32,
    pub(super) seed: Option<u64>,
    pub(super) topics: Topics,
    pub(super) groups: Vec<Group>,
    pub(super) views: Vec<Follower>,
    /// Of the emitters.
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    /// Of the views.
    pub(super) disk: Option<Arc<StateDir>>,
    /// Why groups ended, and nobody was told yet.
    pub(super) failures: VecDeque<Error>,
    pub(super) crashes: u32,
    /// For records without a key.
    pub(super) turn: i32,
    /// Handlers that are `async fn` live in it, and its clock, which began then, goes with the
    /// world's. `None` within another one.
    pub(super) runtime: Option<(Runtime, Instant)>,
}

/// A processor, and the processes that run it.
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
    /// If `P` is not here.
    #[track_caller]
    pub(super) fn group<P: Processor>(&mut self) -> &mut Group {
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
    pub(super) fn expect<T>(&self, result: crate::base::error::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("the tester itself: {error} ({})", self.origin()))
    }

    /// How to see it again.
    pub(super) fn origin(&self) -> String {
        match self.seed {
            None => "no seed".to_owned(),
            Some(seed) => format!("seed {seed}"),
        }
    }
}

impl Group {
    /// Whether a process of it runs, or is about to.
    pub(super) fn is_wanted(&self) -> bool {
        self.instances.iter().any(|instance| instance.is_wanted)
    }
}
