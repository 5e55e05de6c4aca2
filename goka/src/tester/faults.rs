//! What goes wrong, and who comes and goes: as often and exactly where a test says so.

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

/// Where a process can be killed: steps of the commit protocol, in the order of at-least-once.
/// Under exactly-once the group has the positions before the local copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitStep {
    /// The handler has returned, and what it did was handed to the producer.
    Handled,
    /// The brokers have all of it.
    Delivered,
    /// The local copy has it.
    Stored,
    /// The group's positions are behind it.
    Committed,
    /// While a local copy is brought up to date.
    Replaying,
    /// Partitions were given back.
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

/// Processes.
impl Tester {
    /// Stops all processes of a processor in good order, and starts them again, as a deployment
    /// does; also those that ended because a handler failed.
    ///
    /// # Panics
    /// If `P` is not here, or cannot stop.
    #[track_caller]
    pub fn restart<P: Processor>(&mut self) {
        let group = self.group::<P>();
        let stopped = group.stop();
        for instance in &mut group.instances {
            instance.is_wanted = true;
        }
        self.expect(stopped);
    }

    /// Kills all processes of a processor now, in whatever they are, and starts them again.
    ///
    /// # Panics
    /// If `P` is not here.
    #[track_caller]
    pub fn crash<P: Processor>(&mut self) {
        let group = self.group::<P>();
        let running = group.instances.iter_mut();
        for instance in running.filter(|instance| instance.process.is_some()) {
            instance.kill();
        }
        self.crashes += 1;
    }

    /// The process of a processor that comes by a step next is killed there, and started again:
    /// nothing behind the step has happened. [`crashes`](Self::crashes) tells whether one did.
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
    /// If `P` is not here.
    #[track_caller]
    pub fn crash_at<P: Processor>(&mut self, step: CommitStep) {
        for instance in &self.group::<P>().instances {
            instance.set_trap(step.into(), 1);
        }
    }

    /// How many processes were killed so far.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Starts one more process of a processor, which takes its share of the partitions, and gives
    /// its number: the first one is 0.
    ///
    /// # Panics
    /// If `P` is not here.
    #[track_caller]
    pub fn start_instance<P: Processor>(&mut self) -> usize {
        let number = self.group::<P>().instances.len();
        let instance = self.expect(Instance::new(P::GROUP, number));
        self.group::<P>().instances.push(instance);
        number
    }

    /// Stops a process of a processor in good order. Its partitions go to the others, once its
    /// session is over.
    ///
    /// # Panics
    /// If `P` is not here, has no process of this number, or it cannot stop.
    #[track_caller]
    pub fn stop_instance<P: Processor>(&mut self, number: usize) {
        let group = self.group::<P>();
        let count = group.instances.len();
        let Some(instance) = group.instances.get_mut(number) else {
            panic!(
                "group `{}` has {count} processes, so there is no number {number}",
                P::GROUP
            );
        };
        instance.is_wanted = false;
        let stopped = instance.stop();
        self.expect(stopped);
    }

    /// Which partitions a process of a processor runs. Lets everything run before.
    ///
    /// # Panics
    /// If `P` is not here, or a handler failed.
    #[track_caller]
    pub fn partitions_of<P: Processor>(&mut self, number: usize) -> Vec<i32> {
        self.group::<P>();
        self.run_well();
        let instance = self.group::<P>().instances.get(number);
        let process = instance.and_then(|instance| instance.process.as_ref());
        let partitions = process.map(|process| process.status.partitions());
        partitions.unwrap_or_default().into_keys().collect()
    }

    /// Calls a visitor for every row of the group table, as [`Running::visit`](crate::Running::visit)
    /// does in all processes, and gives how many keys were visited. Lets everything run before.
    ///
    /// # Errors
    /// That of the visitor, after which the group does not run until it is
    /// [restarted](Self::restart); of a handler before.
    ///
    /// # Panics
    /// If `P` is not here.
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
                        "the visit does not come to an end: does its visitor wait for something?"
                    )
                }
                Err(TryRecvError::Empty) => self.round(),
            }
        }
        self.run()?;
        Ok(visited)
    }
}

/// Brokers.
impl Tester {
    /// For some time, the brokers are away: nothing is written, nothing is answered.
    pub fn outage(&mut self, time: Duration) {
        self.world.outage(time);
    }

    /// The next records that the processes of a processor write fail. If `written`, they are in
    /// their topic all the same: the answer got lost.
    ///
    /// # Panics
    /// If `P` is not here.
    #[track_caller]
    pub fn fail_deliveries<P: Processor>(&mut self, count: u64, written: bool) {
        let instances = self.group::<P>().instances.iter();
        let names: Vec<_> = instances.map(|instance| instance.name.clone()).collect();
        for name in names {
            self.world.fail_deliveries(&name, count, written);
        }
    }
}
