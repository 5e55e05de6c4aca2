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

/// The compaction lag of most changelogs, and of the topics that goka creates.
const HOUR_MS: i64 = 3_600_000;
/// The age of records with old event times, in hours: longer than the compaction lag.
const OLD_H: u64 = 5;

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Records of one key are written to an input.
    Feed {
        input: usize,
        key: u64,
        count: u64,
        /// How old the timestamps of the records are, in hours.
        age_h: u64,
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
    /// The changelog is compacted, as far as the schedule's compaction lag allows.
    Compact,
    /// While no worker runs, another client of the group handles up to `count` records of one input and partition. This
    /// client reads the whole changelog first, and commits only the offset of this input.
    Other {
        partition: i32,
        input: usize,
        count: usize,
    },
    /// While the group is stopped cleanly, an operator writes a row.
    Operator {
        key: u64,
    },
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
    /// Whether commits that were given up may be applied later.
    pub(super) late_commits: bool,
    /// Whether the group may refuse single offsets of a commit, and take the others.
    pub(super) torn_commits: bool,
    /// `min.compaction.lag.ms` of the changelog.
    pub(super) lag_ms: i64,
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
        let late_commits = chance.one_in(2);
        let hazard = Hazard::draw(&mut chance, only_zombies);
        let lag_ms = match hazard {
            Hazard::NoLag => 0,
            _ => HOUR_MS,
        };
        if hazard == Hazard::OldEvents {
            age(&mut actions, &mut chance);
        }
        if matches!(hazard, Hazard::NoLag | Hazard::OldEvents) {
            for _ in 0..chance.below(4) {
                let age_h = if hazard == Hazard::OldEvents {
                    OLD_H
                } else {
                    0
                };
                let crash = crash_and_compact(&mut chance, keys, age_h);
                insert(&mut actions, &mut chance, crash);
            }
        }
        if hazard == Hazard::Zombies {
            for _ in 0..chance.below(5) {
                let zombie = any_zombie(&mut chance, only_zombies);
                insert(&mut actions, &mut chance, zombie);
            }
        }
        if hazard == Hazard::Zombies && !only_zombies {
            for _ in 0..chance.below(4) {
                let zombie = zombie_at_takeover(&mut chance, keys);
                insert(&mut actions, &mut chance, zombie);
            }
        }
        if late_commits && !only_zombies {
            for _ in 0..chance.below(4) {
                let death = die_before_late(&mut chance);
                insert(&mut actions, &mut chance, death);
            }
        }
        for _ in 0..chance.below(3) {
            if hazard == Hazard::Others || chance.one_in(4) {
                let stopped = stop_all(&mut chance, hazard == Hazard::Others);
                insert(&mut actions, &mut chance, stopped);
            }
        }
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
            late_commits,
            torn_commits: hazard == Hazard::TornCommits,
            lag_ms,
            actions,
        }
    }

    /// The schedule of a seed, for workers with exactly-once.
    pub(super) fn exactly_once(seed: u64) -> Self {
        Schedule {
            exactly_once: true,
            handlers_defer: false,
            // A claim under exactly-once is a commit outside of a transaction. If its answer is lost, and the
            // coordinator takes it only after the next transaction, nothing can tell it from an operator's.
            late_commits: false,
            ..Schedule::of(seed)
        }
    }

    /// The schedule of a seed for plain workers, which do not look for rows of zombies, and have no visitors, no
    /// switches and no cuts.
    pub(super) fn without_zombies(seed: u64) -> Self {
        let mut schedule = Schedule::of(seed);
        let is_left_out = |action: &Action| match action {
            Action::FreezeAt { point, .. } => *point == Point::Sends,
            Action::Visit { .. } | Action::Switch { .. } => true,
            Action::Other { .. } | Action::Operator { .. } => true,
            _ => false,
        };
        schedule.actions.retain(|action| !is_left_out(action));
        // A plain worker that is idle does not commit again.
        schedule.late_commits = false;
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
            late_commits,
            torn_commits,
            lag_ms,
            actions,
            ..
        } = self;
        writeln!(
            f,
            "{partitions} partitions, at most {queue_max} records in a queue, static members: {static_members}, \
             handlers wait: {handlers_wait}, are slow: {handlers_are_slow}, handlers defer: {handlers_defer}, coalesce: {coalesce}, missing in the end: \
             {missing:?}, standby: {standby}, late commits: {late_commits}, torn commits: {torn_commits}, compaction lag: \
             {lag_ms} ms"
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
            age_h: 0,
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

/// The first worker becomes a zombie: it pauses after the proof of its membership and before it sends a record. Nothing
/// keeps that record from being written, so the next owner has to notice the record.
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

/// What a schedule has besides crashes, pauses and failures. A schedule has one such hazard: with two of them, a row of
/// a zombie could become a part of a tail that is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hazard {
    None,
    /// Workers become zombies, and other workers stop cleanly.
    Zombies,
    /// The group refuses single offsets of a commit.
    TornCommits,
    /// The changelog has no compaction lag.
    NoLag,
    /// The rows of the changelog are older than its compaction lag.
    OldEvents,
    /// Another client of the group handles records.
    Others,
}

impl Hazard {
    fn draw(chance: &mut Chance, only_zombies: bool) -> Self {
        match chance.below(12) {
            _ if only_zombies => Hazard::Zombies,
            0..3 => Hazard::None,
            3..5 => Hazard::Zombies,
            5..7 => Hazard::TornCommits,
            7..9 => Hazard::NoLag,
            9 | 10 => Hazard::OldEvents,
            _ => Hazard::Others,
        }
    }
}

fn insert(actions: &mut Vec<Action>, chance: &mut Chance, some: Vec<Action>) {
    let at = chance.index(actions.len() + 1);
    actions.splice(at..at, some);
}

/// Makes the records of a schedule old: all of them, or those from some action on or up to some action.
fn age(actions: &mut [Action], chance: &mut Chance) {
    let at = chance.index(actions.len());
    let some = match chance.below(4) {
        0 => &mut actions[at..],
        1 => &mut actions[..at],
        _ => actions,
    };
    for action in some {
        if let Action::Feed { age_h, .. } = action {
            *age_h = OLD_H;
        }
    }
}

/// Workers commit rows of a key, and die with a newer row of the key behind the cut. The changelog is compacted, and
/// the local copies have to be read again.
fn crash_and_compact(chance: &mut Chance, keys: u64, age_h: u64) -> Vec<Action> {
    let (input, key) = (chance.index(2), chance.below(keys));
    let feed = |count| Action::Feed {
        input,
        key,
        count,
        age_h,
    };
    let turns = || (0..SLOTS).map(|slot| Action::Turn { slot });
    let mut actions = vec![feed(1 + chance.below(3))];
    for _ in 0..3 {
        actions.extend(turns());
        actions.push(Action::Wait { ms: 100 });
    }
    actions.push(feed(1 + chance.below(3)));
    let point = Point::Reached(match chance.below(3) {
        0 => Step::Handled,
        _ => Step::Delivered,
    });
    actions.extend((0..SLOTS).map(|slot| Action::DieAt {
        slot,
        point,
        nth: 1,
    }));
    for _ in 0..3 {
        actions.extend(turns());
        actions.push(Action::Wait { ms: 100 });
    }
    actions.push(Action::Compact);
    for slot in 0..SLOTS {
        if chance.one_in(2) {
            actions.push(Action::Wipe { slot });
        }
    }
    actions.push(Action::Wait { ms: 1000 });
    actions.extend((0..SLOTS).map(|slot| Action::Start { slot }));
    actions
}

/// A worker becomes a zombie, and wakes up while the next owner recovers or closes its first intervals.
fn zombie_at_takeover(chance: &mut Chance, keys: u64) -> Vec<Action> {
    let slot = chance.index(SLOTS);
    let (input, key) = (chance.index(2), chance.below(keys));
    let feed = |count| Action::Feed {
        input,
        key,
        count,
        age_h: 0,
    };
    let others = || (0..SLOTS).filter(move |other| *other != slot);
    let turns = || others().map(|slot| Action::Turn { slot });
    let mut actions = vec![feed(1 + chance.below(4))];
    actions.push(Action::FreezeAt {
        slot,
        point: Point::Sends,
        nth: 1 + chance.below(8),
        ms: 5900 + 20 * chance.below(60),
    });
    actions.push(Action::Turn { slot });
    for _ in 0..2 {
        actions.push(Action::Wait { ms: 2500 });
        actions.extend(turns());
    }
    if chance.one_in(2) {
        actions.push(Action::Slow {
            ms: 3000,
            delay_ms: [50, 300][chance.index(2)],
        });
    }
    actions.push(Action::Wait { ms: 800 });
    for _ in 0..30 {
        actions.extend(turns());
        actions.push(Action::Wait {
            ms: 10 + chance.below(60),
        });
        if chance.one_in(6) {
            actions.push(feed(1));
        }
    }
    actions
}

/// A worker dies after a commit whose answer was lost, which may be applied later, and comes back with its local copy.
fn die_before_late(chance: &mut Chance) -> Vec<Action> {
    let slot = chance.index(SLOTS);
    let die = Action::DieAt {
        slot,
        point: Point::Reached(Step::Stored),
        nth: 1 + chance.below(4),
    };
    let mut actions = vec![die];
    for _ in 0..4 {
        actions.push(Action::Turn { slot });
        actions.push(Action::Wait { ms: 100 });
    }
    actions.push(Action::Wait {
        ms: [1000, 2500, 7000][chance.index(3)],
    });
    actions.push(Action::Start { slot });
    actions
}

/// A worker becomes a zombie, or a worker that took over from a zombie stops cleanly. With `only_first`, only the first
/// worker becomes a zombie, and only the others stop.
fn any_zombie(chance: &mut Chance, only_first: bool) -> Vec<Action> {
    let slot = chance.index(SLOTS);
    let next = 1 + chance.index(SLOTS - 1);
    if only_first || chance.one_in(2) {
        let some = [Action::Stop { slot: next }, Action::Start { slot: next }];
        return some.into();
    }
    let freeze = Action::FreezeAt {
        slot,
        point: Point::Sends,
        nth: 1 + chance.below(40),
        ms: [7000, 9000, 12_000][chance.index(3)],
    };
    let mut actions = vec![freeze];
    for _ in 0..chance.below(20) {
        actions.push(Action::Wait { ms: 500 });
        actions.extend((0..SLOTS).map(|slot| Action::Turn { slot }));
    }
    if chance.one_in(2) {
        actions.extend((0..SLOTS).map(|slot| Action::Stop { slot }));
        actions.extend((0..SLOTS).map(|slot| Action::Start { slot }));
    }
    actions
}

/// All workers stop, or some are killed, and the group has no members for a while. An operator or, with `others`,
/// another client of the group writes rows. Then the workers start again.
fn stop_all(chance: &mut Chance, others: bool) -> Vec<Action> {
    let mut actions: Vec<Action> = (0..SLOTS)
        .map(|slot| match others && chance.one_in(3) {
            true => Action::Kill { slot },
            false => Action::Stop { slot },
        })
        .collect();
    actions.push(Action::Wait { ms: 8000 });
    for _ in 0..1 + chance.below(4) {
        actions.push(match others {
            true => Action::Other {
                partition: i32::try_from(chance.below(6)).unwrap_or(0),
                input: chance.index(2),
                count: 1 + chance.index(4),
            },
            false => Action::Operator {
                key: chance.below(8),
            },
        });
    }
    actions.extend((0..SLOTS).map(|slot| Action::Start { slot }));
    actions
}
