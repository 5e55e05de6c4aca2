//! Gives everyone a turn until nothing is left to do. Must not know types.

use std::time::Duration;

use crate::{
    base::{config::Guarantee, error::Result, kind::Kind, state::PartitionState},
    sim::kafka::World,
    tester::{
        cluster::{Group, Tester},
        instance::{IDLE, Setup, Turn},
    },
};

/// How long everything may take, in virtual time, before the engine is to blame.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// How long a handler that waits, or a record that is deferred, is waited for, in virtual time.
const HELD_BACK: Duration = Duration::from_secs(3600);
/// How much time passes at once while everything is held back: less than anybody's session.
const STEP_MAX: Duration = Duration::from_millis(500);
/// What a killed process had in its socket has landed when it starts again.
const START: Duration = Duration::from_secs(1);

/// What is not done yet.
enum Left {
    /// And why.
    Work(String),
    /// All of it stands behind a handler that waits, or a record that is deferred or is to be handled
    /// again.
    HeldBack,
}

impl Tester {
    /// Lets the processors run until all is handled and committed, and every view has read it.
    ///
    /// A handler that waits for something, a deferred record that is not done, and a record that is to
    /// be handled again, are waited for up to an hour of virtual time. See [`lag`](Self::lag).
    ///
    /// # Errors
    /// That of a handler, or of the engine. The group does not run any more, as an app ends whose
    /// handler fails, until it is [restarted](Self::restart); then it reads the record again.
    pub fn run(&mut self) -> Result {
        self.settle();
        self.failures.pop_front().map_or(Ok(()), Err)
    }

    /// [`run`](Self::run), and there must be no error.
    #[track_caller]
    pub(super) fn run_well(&mut self) {
        if let Err(error) = self.run() {
            let origin = self.origin();
            panic!("{error} ({origin}; `Tester::run` gives this as a value)");
        }
    }

    /// Lets virtual time pass, and everything run that it brings.
    pub fn advance(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.round();
            let left = until.saturating_sub(self.world.now());
            self.world.advance(left.min(IDLE));
        }
    }

    /// How many records of its inputs a processor has not handled and committed.
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
                    "the engine does not come to an end, which is a bug of goka: {left} ({})",
                    self.origin()
                ),
                Some(Left::Work(_)) => (held_since, step) = (None, IDLE),
                Some(Left::HeldBack) => {
                    let since = *held_since.get_or_insert(self.world.now());
                    if self.world.now() > since + HELD_BACK {
                        return;
                    }
                    // Only time can help: it goes faster and faster.
                    self.world.advance(step);
                    step = (step * 2).min(STEP_MAX);
                }
            }
            self.round();
        }
    }

    /// A turn for everyone.
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
            // Timers of handlers go by the clock of the world.
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
            return work("records are under way");
        }
        if self.world.open_transactions() > 0 {
            return work("a transaction is open");
        }
        for view in &self.views {
            if view.is_behind(&self.world)? {
                return work("a view is behind");
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

    /// One failure stops all of its processes, in good order, as those of an app.
    fn give_up(&mut self) {
        for instance in &mut self.instances {
            instance.is_wanted = false;
            // Why they stop is told already.
            let _ = instance.stop();
        }
    }

    fn left(&self, world: &World) -> Result<Option<Left>> {
        let processes = || self.instances.iter().filter_map(|i| i.process.as_ref());
        for process in processes() {
            for follower in &process.followers {
                if follower.is_behind(world)? {
                    let topic = &follower.topic;
                    let left = format!("group `{}` is behind in table `{topic}`", self.name);
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
            let left = format!("group `{}` is not done with its commits", self.name);
            return Ok(Some(Left::Work(left)));
        }
        let mut held_back = false;
        for (topic, partition, lag) in self.lags(world)? {
            if lag == 0 {
                continue;
            }
            if !processes().any(|process| process.holds_back(partition)) {
                let left = format!(
                    "group `{}` has {lag} of {topic}/{partition} to do",
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
        Ok(is_committing.then(|| Left::Work(format!("group `{}` commits", self.name))))
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

    /// How many records of each partition are not committed.
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

    /// Ends all of its processes, in good order. They start again when everyone gets a turn.
    pub(super) fn stop(&mut self) -> Result {
        let mut stopped = Ok(());
        for instance in &mut self.instances {
            stopped = stopped.and(instance.stop());
        }
        stopped
    }
}
