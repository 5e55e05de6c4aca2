//! Faults in a test: kills, restarts, rebalances, outages, failed deliveries. Must not know what a test checks.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot::error::TryRecvError;

use crate::{
    base::error::{Error, Result},
    engine::port::Step,
    tester::{
        cluster::{Group, Tester},
        instance::Instance,
        running::PATIENCE,
    },
    typed::{check::has_table, edge::Visits, processor::Processor, program::TypedVisit},
};

/// A step of the commit protocol at which a process can be killed. See [`Tester::crash_at`].
///
/// The offsets of a commit interval are committed before its rows are in the local copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitStep {
    /// A handler has returned, and its effects have been handed to the producer.
    Handled,
    /// The brokers have acknowledged all records of the commit interval.
    Delivered,
    /// The rows of the commit interval are in the local copy.
    Stored,
    /// The offsets of the commit interval are committed.
    Committed,
    /// A local copy is being restored from the changelog.
    Replaying,
    /// Partitions were revoked, and the instance has released them.
    Released,
}

impl From<CommitStep> for Step {
    fn from(step: CommitStep) -> Self {
        match step {
            CommitStep::Handled => Step::Handled,
            CommitStep::Delivered => Step::Delivered,
            CommitStep::Stored => Step::Stored,
            CommitStep::Committed => Step::Committed,
            CommitStep::Replaying => Step::Replaying,
            CommitStep::Released => Step::Released,
        }
    }
}

/// Methods that act on instances.
impl Tester {
    /// Stops all instances of a processor cleanly and starts them again, as a deployment does. This includes instances
    /// that stopped because a handler failed.
    ///
    /// # Panics
    /// If `P` is not in this tester, or if an instance cannot stop.
    #[track_caller]
    pub fn restart<P: Processor>(&mut self) {
        let group = self.group::<P>();
        let stopped = group.stop();
        for instance in &mut group.instances {
            instance.is_wanted = true;
        }
        self.expect(stopped);
    }

    /// Kills all instances of a processor immediately, and starts them again.
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn crash<P: Processor>(&mut self) {
        let group = self.group::<P>();
        let running = group.instances.iter_mut();
        for instance in running.filter(|instance| instance.process.is_some()) {
            instance.kill();
        }
        self.crashes += 1;
    }

    /// Kills the first instance of a processor that reaches this step, and starts it again. The instance does nothing
    /// between the step and the kill. [`crashes`](Self::crashes) says whether an instance was killed.
    ///
    /// ```
    /// # #[goka::table(group = "my-group", value = i64)]
    /// # pub struct Clicks;
    /// # #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
    /// # fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
    /// #     let clicks = ctx.value()?.unwrap_or(0);
    /// #     ctx.set_value(&(clicks + 1))
    /// # }
    /// use goka::{Guarantee, Tester, tester::CommitStep};
    ///
    /// let mut tester = Tester::new().guarantee(Guarantee::ExactlyOnce).processor(count::Processor);
    /// tester.crash_at::<count::Processor>(CommitStep::Delivered);
    /// tester.emit_to::<count::Processor>("user-clicks", "alice", &"12:00".to_owned());
    /// assert_eq!(tester.get::<Clicks>("alice"), Some(1));
    /// assert_eq!(tester.crashes(), 1);
    /// ```
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn crash_at<P: Processor>(&mut self, step: CommitStep) {
        for instance in &self.group::<P>().instances {
            instance.set_trap(step.into(), 1);
        }
    }

    /// The number of times that an instance was killed so far.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Starts another instance of a processor, which takes its share of the partitions. Returns the number of the new
    /// instance; the first instance of a processor has the number 0.
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn start_instance<P: Processor>(&mut self) -> usize {
        let number = self.group::<P>().instances.len();
        let instance = self.expect(Instance::new(P::GROUP, number));
        self.group::<P>().instances.push(instance);
        number
    }

    /// Stops an instance of a processor cleanly. When the session of the instance expires, its partitions move to
    /// other instances.
    ///
    /// # Panics
    /// If `P` is not in this tester, if `P` has no instance of this number, or if the instance cannot stop.
    #[track_caller]
    pub fn stop_instance<P: Processor>(&mut self, number: usize) {
        let group = self.group::<P>();
        let count = group.instances.len();
        let Some(instance) = group.instances.get_mut(number) else {
            panic!(
                "group `{}` has {count} instances, numbered from 0, so there is no instance {number}",
                P::GROUP
            );
        };
        instance.is_wanted = false;
        let stopped = instance.stop();
        self.expect(stopped);
    }

    /// The partitions that an instance of a processor has. Runs everything first.
    ///
    /// # Panics
    /// If `P` is not in this tester, or a handler failed.
    #[track_caller]
    pub fn partitions_of<P: Processor>(&mut self, number: usize) -> Vec<i32> {
        self.group::<P>();
        self.run_well();
        let instance = self.group::<P>().instances.get(number);
        let process = instance.and_then(|instance| instance.process.as_ref());
        let partitions = process.map(|process| process.status.partitions());
        partitions.unwrap_or_default().into_keys().collect()
    }

    /// Visits all rows of the group table in all instances, as [`Running::visit`](crate::Running::visit) does. Returns
    /// the number of visited keys. Runs everything first.
    ///
    /// # Errors
    /// Returns the error of the visitor, or the error of a handler that failed earlier. After an error of the visitor,
    /// the group does not run until it is [restarted](Self::restart).
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn visit<P: Processor>(&mut self, args: impl Visits<P>) -> Result<u64> {
        const { has_table::<P>() };
        let group = self.group::<P>();
        let processor = group.processor.clone().downcast::<P>();
        self.run()?;
        let Ok(processor) = processor else {
            return Err(Error::Closed("the processor"));
        };
        let visit = Arc::new(TypedVisit { processor, args });
        let processes = |group: &Group| -> Vec<_> {
            let instances = group.instances.iter();
            let processes = instances.filter_map(|instance| instance.process.as_ref());
            processes.map(|process| process.visits.clone()).collect()
        };
        let asked = processes(self.group::<P>()).into_iter();
        let mut answers: Vec<_> = asked.map(|visits| visits.ask(visit.clone())).collect();
        let (mut visited, give_up) = (0, self.world.now() + PATIENCE);
        while let Some(answer) = answers.last_mut() {
            match answer.try_recv() {
                Ok(Ok(keys)) => {
                    visited += keys;
                    answers.pop();
                }
                Ok(Err(early)) => {
                    return Err(Error::VisitCancelled {
                        group: P::GROUP,
                        partition: early.partition,
                        keys: visited + early.keys,
                    });
                }
                Err(TryRecvError::Closed) => {
                    self.run()?;
                    return Err(Error::Closed("the processor"));
                }
                Err(TryRecvError::Empty) if self.world.now() > give_up => {
                    panic!(
                        "the visit does not finish: check whether the visitor waits for something"
                    )
                }
                Err(TryRecvError::Empty) => self.round(),
            }
        }
        self.run()?;
        Ok(visited)
    }
}

/// Methods that act on brokers.
impl Tester {
    /// Makes the brokers unavailable for some virtual time: they write no records and answer no requests.
    pub fn outage(&mut self, time: Duration) {
        self.world.outage(time);
    }

    /// Makes deliveries fail: those of the next `count` records that the instances of a processor write. If `written`,
    /// these records are in their topics nevertheless, because only the acknowledgement is lost.
    ///
    /// # Panics
    /// If `P` is not in this tester.
    #[track_caller]
    pub fn fail_deliveries<P: Processor>(&mut self, count: u64, written: bool) {
        let instances = self.group::<P>().instances.iter();
        let names: Vec<_> = instances.map(|instance| instance.name.clone()).collect();
        for name in names {
            self.world.fail_deliveries(&name, count, written);
        }
    }
}
