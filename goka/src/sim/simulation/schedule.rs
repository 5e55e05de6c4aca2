//! The schedule of a simulation: a list of actions drawn from a seed.
//!
//! A schedule still makes sense without any of its actions, so that a failing schedule can be shortened. Must not know
//! how actions are carried out.

use std::fmt;

use crate::{
    engine::port::Step,
    sim::kafka::{Chance, Point},
};

/// The number of workers that may run at the same time.
pub(super) const SLOTS: usize = 3;

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Records of one key are written to an input.
    Feed {
        input: usize,
        key: u64,
        count: u64,
    },
    /// A worker makes a turn, if it is running.
    Turn {
        slot: usize,
    },
    /// Time passes, and nothing else happens.
    Wait {
        ms: u64,
    },
    Start {
        slot: usize,
    },
    /// A worker shuts down.
    Stop {
        slot: usize,
    },
    Kill {
        slot: usize,
    },
    /// A worker pauses between two turns, while the other workers continue.
    Freeze {
        slot: usize,
        ms: u64,
    },
    /// A worker is killed when it reaches a point for the `nth` time from now.
    DieAt {
        slot: usize,
        point: Point,
        nth: u64,
    },
    /// A worker pauses in the middle of a turn, when it reaches a point for the `nth` time from now.
    FreezeAt {
        slot: usize,
        point: Point,
        nth: u64,
        ms: u64,
    },
    /// The disk of a stopped worker is deleted.
    Wipe {
        slot: usize,
    },
    /// The network is slow for a while.
    Slow {
        ms: u64,
        delay_ms: u64,
    },
    /// Deliveries of a worker are reported as failed, although the records may have been written.
    Fail {
        slot: usize,
        count: u64,
        landed: bool,
    },
    Outage {
        ms: u64,
    },
    /// The changelog is compacted.
    Compact,
    /// A visit of a worker's rows is requested.
    Visit {
        slot: usize,
    },
    /// A switch is turned on or off.
    Switch {
        key: u64,
        on: bool,
    },
    /// The next handler call of a worker fails, and the worker ends.
    FailHandler {
        slot: usize,
        panics: bool,
    },
}

/// All values that are drawn from a seed.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) partitions: i32,
    /// The number of records that fit into a producer's queue.
    pub(super) queue_max: usize,
    /// Whether workers are static members, which come back under their names.
    pub(super) static_members: bool,
    /// Whether the handler of one input is `async`.
    pub(super) handlers_wait: bool,
    /// Whether some calls of that handler take seconds.
    pub(super) handlers_are_slow: bool,
    /// Whether the handler of the other input defers some of its records.
    pub(super) handlers_defer: bool,
    /// Whether rows are coalesced: one row per key and commit interval.
    pub(super) coalesce: bool,
    pub(super) exactly_once: bool,
    /// Whether workers keep standby copies of the partitions of other workers.
    pub(super) standby: bool,
    /// The slot of a worker that is killed at the end and does not come back, so that others take over.
    pub(super) missing: Option<usize>,
    pub(super) actions: Vec<Action>,
}

impl Schedule {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed);
        let partitions = 3 + i32::try_from(chance.below(4)).unwrap_or(0);
        let queue_max = if chance.one_in(4) { 4 } else { 1000 };
        let static_members = chance.one_in(3);
        let handlers_wait = chance.one_in(3);
        // One action in `calm` is a fault; 0 means no faults.
        let calm = [0, 40, 15, 6][chance.index(4)];
        let only_zombies = chance.one_in(5);
        let keys = [2, 12, 60][chance.index(3)];
        let mut actions: Vec<Action> = (0..SLOTS).map(|slot| Action::Start { slot }).collect();
        for _ in 0..100 + chance.below(300) {
            let trouble = calm > 0 && chance.one_in(calm);
            match (trouble, only_zombies) {
                (true, true) => actions.extend(zombie_of(&mut chance)),
                (true, false) => actions.push(trouble_of(&mut chance)),
                (false, true) => actions.push(lively_of(&mut chance, keys)),
                (false, false) => actions.push(work_of(&mut chance, keys)),
            }
        }
        // Drawn last, so that the values drawn before do not change.
        let handlers_defer = chance.one_in(3);
        for _ in 0..chance.below(6) {
            let (at, slot) = (chance.index(actions.len()), chance.index(SLOTS));
            actions.insert(at, Action::Visit { slot });
        }
        if chance.one_in(2) {
            for _ in 0..chance.below(40) {
                let (at, on) = (chance.index(actions.len()), chance.one_in(2));
                let key = chance.below(4);
                actions.insert(at, Action::Switch { key, on });
            }
        }
        if chance.one_in(2) {
            for _ in 0..chance.below(4) {
                let (at, slot) = (chance.index(actions.len()), chance.index(SLOTS));
                let panics = chance.one_in(2);
                actions.insert(at, Action::FailHandler { slot, panics });
            }
        }
        let missing = chance.one_in(3).then(|| chance.index(SLOTS));
        let coalesce = chance.one_in(3);
        let standby = chance.one_in(2);
        let handlers_are_slow = handlers_wait && chance.one_in(2);
        Schedule {
            seed,
            partitions,
            queue_max,
            static_members,
            handlers_wait,
            handlers_are_slow,
            handlers_defer,
            coalesce,
            exactly_once: false,
            standby,
            missing,
            actions,
        }
    }

    /// The schedule of a seed, for workers with exactly-once.
    pub(super) fn exactly_once(seed: u64) -> Self {
        Schedule {
            exactly_once: true,
            handlers_defer: false,
            ..Schedule::of(seed)
        }
    }

    /// The schedule of a seed for plain workers, which do not look for rows of zombies, and have no visitors and no
    /// switches.
    pub(super) fn without_zombies(seed: u64) -> Self {
        let mut schedule = Schedule::of(seed);
        let is_left_out = |action: &Action| match action {
            Action::FreezeAt { point, .. } => *point == Point::Sends,
            Action::Visit { .. } | Action::Switch { .. } => true,
            _ => false,
        };
        schedule.actions.retain(|action| !is_left_out(action));
        schedule
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule {
            partitions,
            queue_max,
            static_members,
            handlers_wait,
            handlers_are_slow,
            handlers_defer,
            coalesce,
            standby,
            missing,
            actions,
            ..
        } = self;
        writeln!(
            f,
            "{partitions} partitions, at most {queue_max} records in a queue, static members: {static_members}, \
             handlers wait: {handlers_wait}, are slow: {handlers_are_slow}, handlers defer: {handlers_defer}, coalesce: {coalesce}, missing in the end: \
             {missing:?}, standby: {standby}"
        )?;
        actions
            .iter()
            .try_for_each(|action| writeln!(f, "    {action:?}"))
    }
}

fn work_of(chance: &mut Chance, keys: u64) -> Action {
    let slot = chance.index(SLOTS);
    match chance.below(100) {
        0..50 => Action::Turn { slot },
        50..80 => Action::Feed {
            input: chance.index(2),
            key: chance.below(keys),
            count: 1 + chance.below(4),
        },
        80..96 => Action::Wait {
            ms: [1, 10, 50, 100, 500][chance.index(5)],
        },
        96..98 => Action::Start { slot },
        98 => Action::Stop { slot },
        _ => Action::Compact,
    }
}

fn trouble_of(chance: &mut Chance) -> Action {
    const STEPS: [Step; 6] = [
        Step::Handled,
        Step::Delivered,
        Step::Stored,
        Step::Committed,
        Step::Replaying,
        Step::Released,
    ];
    let slot = chance.index(SLOTS);
    let (point, nth) = match chance.index(STEPS.len() + 1) {
        6 => (Point::Asks, 1 + chance.below(100)),
        step => {
            let step = match STEPS[step] {
                Step::Stored if chance.one_in(2) => Step::Storing,
                step => step,
            };
            (Point::Reached(step), 1 + chance.below(4))
        }
    };
    let ms = [500, 3000, 5000, 8000, 15_000][chance.index(5)];
    match chance.below(14) {
        0 => Action::Kill { slot },
        1 => Action::Freeze { slot, ms },
        2 | 3 => Action::DieAt { slot, point, nth },
        4 | 5 => Action::FreezeAt {
            slot,
            point,
            nth,
            ms,
        },
        6 => Action::Wipe { slot },
        7 | 8 => Action::Slow {
            ms,
            delay_ms: [50, 500, 3000, 6000][chance.index(4)],
        },
        9 => Action::Fail {
            slot,
            count: 1 + chance.below(3),
            landed: chance.one_in(2),
        },
        10 => Action::Outage { ms },
        // In this time, the session of a paused worker can time out, while the other workers make turns in between.
        _ => Action::Wait {
            ms: [1000, 2500, 7000][chance.index(3)],
        },
    }
}

/// An action with which no worker starts or ends.
fn lively_of(chance: &mut Chance, keys: u64) -> Action {
    match work_of(chance, keys) {
        Action::Start { slot } | Action::Stop { slot } => Action::Turn { slot },
        other => other,
    }
}

/// A worker becomes a zombie: it pauses after the proof of its membership and before it sends a record. Nothing keeps
/// that record from being written, so the next owner has to notice the record. If the next owner leaves before it
/// notices, a count stays too low, because at-least-once has no fencing. This is why only one worker becomes a zombie,
/// and the other workers stay.
fn zombie_of(chance: &mut Chance) -> Vec<Action> {
    let freeze = Action::FreezeAt {
        slot: 0,
        point: Point::Sends,
        nth: 1 + chance.below(40),
        ms: [7000, 9000][chance.index(2)],
    };
    let mut actions = vec![freeze];
    for _ in 0..chance.below(20) {
        actions.push(Action::Wait { ms: 500 });
        actions.extend((0..SLOTS).map(|slot| Action::Turn { slot }));
    }
    actions
}
