//! Runs all processors and views, turn by turn, until no work is left. Must not know types.

use std::time::Duration;

use crate::{
    base::{config::Guarantee, error::Result, kind::Kind, state::PartitionState},
    sim::kafka::World,
    tester::{
        cluster::{Group, Tester},
        instance::{IDLE, Setup, Turn},
    },
};

/// Maximum virtual time for all work. If the work takes longer, the tester assumes a bug in goka.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// Maximum virtual time that the tester waits for `async fn` handlers, deferred records and retries.
const HELD_BACK: Duration = Duration::from_secs(3600);
/// Maximum virtual time that passes in one step while all work is held back; shorter than any session timeout.
const STEP_MAX: Duration = Duration::from_millis(500);
/// Virtual time between a kill and the restart. In this time, records in the socket of the killed process arrive.
const START: Duration = Duration::from_secs(1);

/// The kind of work that is left.
enum Left {
    /// Work that can proceed, with a description.
    Work(String),
    /// All work that is left waits for an `async fn` handler, a deferred record, or a retry.
    HeldBack,
}

impl Tester {
    /// Runs the processors until everything is processed and committed, and all views are up to date.
    ///
    /// Waits up to an hour of virtual time for `async fn` handlers, deferred records and retries. See
    /// [`lag`](Self::lag).
    ///
    /// # Errors
    /// Returns the error of a handler, or of the engine. After an error, the group stops, as an app does, until it is
    /// [restarted](Self::restart). It then reads the failed record again.
    pub fn run(&mut self) -> Result {
        self.settle();
        self.failures.pop_front().map_or(Ok(()), Err)
    }

    /// Does the same as [`run`](Self::run), for callers that expect no error.
    #[track_caller]
    pub(super) fn run_well(&mut self) {
        if let Err(error) = self.run() {
            let origin = self.origin();
            panic!("{error} ({origin}; to get this error as a value, call `Tester::run`)");
        }
    }

    /// Lets virtual time pass, and runs the processors during that time.
    pub fn advance(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.round();
            let left = until.saturating_sub(self.world.now());
            self.world.advance(left.min(IDLE));
        }
    }

    /// The consumer lag of a processor: the number of records in its inputs and its loop that it has not processed and
    /// committed. Runs everything first.
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn lag<P: crate::typed::processor::Processor>(&mut self) -> u64 {
        self.group::<P>();
        self.settle();
        let group = self.groups.iter().find(|group| group.name == P::GROUP);
        let lag = group.map_or(Ok(0), |group| group.lag(&self.world));
        self.expect(lag)
    }

    fn settle(&mut self) {
        let give_up = self.world.now() + PATIENCE;
        let (mut held_since, mut step) = (None, IDLE);
        self.round();
        loop {
            let left = self.left();
            match self.expect(left) {
                None => return,
                Some(Left::Work(left)) if self.world.now() > give_up => panic!(
                    "processing does not finish, which is a bug in goka: {left} ({})",
                    self.origin()
                ),
                Some(Left::Work(_)) => (held_since, step) = (None, IDLE),
                Some(Left::HeldBack) => {
                    let since = *held_since.get_or_insert(self.world.now());
                    if self.world.now() > since + HELD_BACK {
                        return;
                    }
                    // Only the passing of time can help. The steps of time become larger and larger.
                    self.world.advance(step);
                    step = (step * 2).min(STEP_MAX);
                }
            }
            self.round();
        }
    }

    /// Gives each instance and each view one turn.
    pub(super) fn round(&mut self) {
        self.collect();
        let began = self.world.now();
        let entered = self.runtime.as_ref().map(|(runtime, _)| runtime.enter());
        for group in &mut self.groups {
            let turned = group.round(&self.world, self.guarantee, &mut self.crashes);
            if let Err(error) = turned {
                group.give_up();
                self.failures.push_back(error);
            }
        }
        for view in &self.views {
            if let Err(error) = view.turn(&self.world) {
                self.failures.push_back(error);
            }
        }
        drop(entered);
        if self.world.now() < began + IDLE && self.groups.iter().all(|group| !group.is_wanted()) {
            self.world.advance(IDLE);
        }
        if let Some((runtime, origin)) = &self.runtime {
            // Moves the clock of the runtime, which the timers of handlers use, to the time of `world`.
            let now = *origin + self.world.now();
            runtime.block_on(async { tokio::time::sleep_until(now).await });
        }
    }

    fn left(&self) -> Result<Option<Left>> {
        if !self.failures.is_empty() {
            return Ok(None);
        }
        let work = |left: &str| Ok(Some(Left::Work(left.to_owned())));
        if !self.world.is_idle() {
            return work("records are in flight");
        }
        if self.world.open_transactions() > 0 {
            return work("a transaction is open");
        }
        for view in &self.views {
            if view.is_behind(&self.world)? {
                return work("a view has not read everything");
            }
        }
        let mut held_back = None;
        for group in self.groups.iter().filter(|group| group.is_wanted()) {
            match group.left(&self.world)? {
                Some(Left::HeldBack) => held_back = Some(Left::HeldBack),
                Some(work) => return Ok(Some(work)),
                None => {}
            }
        }
        Ok(held_back)
    }
}

impl Group {
    fn round(&mut self, world: &World, guarantee: Guarantee, crashes: &mut u32) -> Result {
        let setup = Setup {
            world,
            program: &self.program,
            edges: &self.edges,
            guarantee: self.program.options().guarantee.unwrap_or(guarantee),
        };
        for instance in &mut self.instances {
            if instance.is_wanted && instance.process.is_none() {
                instance.start(&setup)?;
            }
            if let Turn::Died = instance.turn(world)? {
                *crashes += 1;
                world.advance(START);
            }
        }
        Ok(())
    }

    /// Shuts all instances down after a failure, as an app does.
    fn give_up(&mut self) {
        for instance in &mut self.instances {
            instance.is_wanted = false;
            // The error that caused the failure is already known.
            let _ = instance.stop();
        }
    }

    fn left(&self, world: &World) -> Result<Option<Left>> {
        let processes = || self.instances.iter().filter_map(|i| i.process.as_ref());
        for process in processes() {
            for follower in &process.followers {
                if follower.is_behind(world)? {
                    let topic = &follower.topic;
                    let left = format!("group `{}` has not read all of table `{topic}`", self.name);
                    return Ok(Some(Left::Work(left)));
                }
            }
        }
        let running = processes().flat_map(|process| process.status.partitions());
        let running = running.filter(|(_, state)| *state == PartitionState::Running);
        let (running, all) = (running.count(), self.partitions(world));
        if running != usize::try_from(all).unwrap_or(0) {
            let left = format!(
                "{running} of {all} partitions of group `{}` are running",
                self.name
            );
            return Ok(Some(Left::Work(left)));
        }
        if processes().any(|process| process.is_busy()) {
            let left = format!("group `{}` has not finished its commits", self.name);
            return Ok(Some(Left::Work(left)));
        }
        let mut held_back = false;
        for (topic, partition, lag) in self.lags(world)? {
            if lag == 0 {
                continue;
            }
            if !processes().any(|process| process.holds_back(partition)) {
                let left = format!(
                    "group `{}` has {lag} records of topic `{topic}`, partition {partition} left",
                    self.name
                );
                return Ok(Some(Left::Work(left)));
            }
            held_back = true;
        }
        if held_back {
            return Ok(Some(Left::HeldBack));
        }
        let is_committing = processes().any(|process| process.is_committing());
        Ok(is_committing
            .then(|| Left::Work(format!("group `{}` waits for an offset commit", self.name))))
    }

    fn partitions(&self, world: &World) -> i32 {
        let leads = |kind| self.edges.iter().find(|edge| edge.kind == kind);
        let leader = leads(Kind::Table).or(leads(Kind::Input));
        leader.map_or(0, |edge| world.partitions(edge.topic))
    }

    fn lag(&self, world: &World) -> Result<u64> {
        let lags = self.lags(world)?;
        Ok(lags.iter().map(|(_, _, lag)| *lag).sum())
    }

    /// The consumer lag of each partition of each topic that the processor reads.
    fn lags(&self, world: &World) -> Result<Vec<(&'static str, i32, u64)>> {
        let mut lags = Vec::new();
        let is_source = |kind| matches!(kind, Kind::Input | Kind::Loop);
        for edge in self.edges.iter().filter(|edge| is_source(edge.kind)) {
            for partition in 0..world.partitions(edge.topic) {
                let end = world.readable_end(edge.topic, partition)?;
                let committed = world.committed(self.name, edge.topic, partition);
                let at = committed.map_or(0, |committed| committed.offset);
                lags.push((edge.topic, partition, u64::try_from(end - at).unwrap_or(0)));
            }
        }
        Ok(lags)
    }

    /// Shuts all instances down cleanly. An instance starts again at its next turn.
    pub(super) fn stop(&mut self) -> Result {
        let mut stopped = Ok(());
        for instance in &mut self.instances {
            stopped = stopped.and(instance.stop());
        }
        stopped
    }
}
