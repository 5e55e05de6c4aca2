//! Draws from a seed what happens to the processes, and when. The same seed always yields the same draws, but how far a
//! process has come when it is killed depends on the machine.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::{Duration, Instant},
};

use rand::{
    Rng,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use rustix::process::Signal;

use crate::{
    fleet::{Fleet, News},
    host::Host,
    judge::Findings,
    tally::Tally,
};

/// The deadline until which every partition must run in exactly one process again, if nothing else happens. The
/// deadline is far longer than necessary, because a busy machine is not a violation.
const CALM: Duration = Duration::from_secs(180);
/// How long a killed process stays down if its partitions do not run in other processes earlier.
const AWAY: Duration = Duration::from_secs(20);
/// How long a process is left alone after it was started to kill itself at a crash point.
const AT_POINT: Duration = Duration::from_secs(5);
/// The deadline until which the fleet must report that a process has ended.
const HEARD: Duration = Duration::from_secs(2);
/// The duration of a long pause in ms. It is longer than goka's default session timeout of 6 s.
const PAUSE_MS: std::ops::Range<u64> = 6_500..10_000;
const SHORT_PAUSE_MS: std::ops::Range<u64> = 200..5_000;

/// The crash points, which are points of the commit protocol at which a process kills itself. Each has its name in
/// `GOKA_CRASH_AT`, and the maximum of a random number n: the process kills itself when it passes the point for the nth
/// time.
const POINTS: &[(&str, u32)] = &[
    ("handled", 500),
    ("delivered", 20),
    (OFFSETS_SENT, 20),
    ("committed", 20),
    ("stored", 20),
    // A killed process lacks only the rows of one commit interval, so few rows are replayed at these two points.
    ("replayed", 3),
    ("replaying", 2),
    ("revoking", 1),
    ("released", 1),
];
/// Crash points that a process passes only when it gives up partitions.
const MOVES: [&str; 2] = ["revoking", "released"];
/// Crash points that a process passes only when its local copies lack rows.
pub(crate) const REPLAYS: [&str; 2] = ["replayed", "replaying"];
/// The crash point that a process passes only with exactly-once.
const OFFSETS_SENT: &str = "offsets-sent";

/// What happens to a process in one step of the storm.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The process is killed, and started again immediately.
    Restart,
    /// The process is killed, and started again after other processes have taken over its partitions.
    Away,
    /// The process is paused, mostly for longer than the session timeout, and resumed.
    Pause,
    /// The process is killed, and started again with an empty state directory.
    LoseState,
    /// The process is shut down, and started again.
    End,
    /// The process is killed, and started again so that it kills itself at this crash point, at a random pass. The
    /// number is that of the last possible pass.
    KillAt(&'static str, u32),
}

/// The acts of one deck; an act for each crash point is added to them. Each deck is shuffled, and is used up before the
/// next deck is made, so that every kind of act happens early in a run.
const ACTS: &[Act] = &[
    Act::Restart,
    Act::Restart,
    Act::Restart,
    Act::Restart,
    Act::Away,
    Act::Away,
    Act::Pause,
    Act::Pause,
    Act::Pause,
    Act::LoseState,
    Act::End,
];

/// An act that will be due later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    Resume(usize),
    Start(usize),
}

/// A measurement in progress: how long `partitions` take to run again. The measurement ends without a result when
/// something else happens.
struct Watch {
    partitions: BTreeSet<i32>,
    since: Instant,
    within: Within,
}

/// In which processes the partitions have to run, so that the measurement ends.
enum Within {
    /// In the process with this number, which ran the partitions before.
    Restarted(usize),
    /// In any processes that are not paused.
    Others,
}

pub(crate) struct Storm<'a> {
    pub(crate) fleet: Fleet,
    partitions: i32,
    is_exactly_once: bool,
    chance: StdRng,
    deck: Vec<Act>,
    host: &'a mut Host,
    pub(crate) tally: Tally,
    later: Vec<(Instant, Later)>,
    watch: Option<Watch>,
    /// For each process, the crash point at which it is to kill itself, if any.
    armed: Vec<Option<&'static str>>,
    /// Crash points at which a process was to kill itself at least once.
    tried: BTreeSet<&'static str>,
    /// Whether the broker is down or was just restarted. In this time, a process that ends by itself is not a
    /// violation.
    is_broker_away: bool,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(
        fleet: Fleet,
        partitions: i32,
        is_exactly_once: bool,
        chance: StdRng,
        host: &'a mut Host,
    ) -> Self {
        let processes = fleet.members().len();
        let mut tally = Tally::default();
        for (point, _) in POINTS {
            if *point != OFFSETS_SENT || is_exactly_once {
                tally.kills_at.insert(point, 0);
            }
        }
        Storm {
            fleet,
            partitions,
            is_exactly_once,
            chance,
            deck: Vec::new(),
            host,
            tally,
            later: Vec::new(),
            watch: None,
            armed: vec![None; processes],
            tried: BTreeSet::new(),
            is_broker_away: false,
        }
    }

    /// Starts all processes, and waits until every partition runs.
    pub(crate) fn begin(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        for member in 0..self.fleet.members().len() {
            self.fleet.start(member, &[])?;
        }
        self.calm(findings)
    }

    /// Kills or pauses processes until this has happened `disturbances` times, and spreads `broker_kills` kills of the
    /// broker over this time.
    pub(crate) fn rage(
        &mut self,
        disturbances: u32,
        broker_kills: u32,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        while self.tally.disturbances() < disturbances && findings.stuck.is_none() {
            let is_due =
                |kills: u32| self.tally.disturbances() * (broker_kills + 1) >= disturbances * kills;
            if self.tally.broker_kills < broker_kills && is_due(self.tally.broker_kills + 1) {
                self.kill_broker(findings)?;
            }
            self.act(findings)?;
            match self.chance.random_range(0..3) {
                0 => {
                    let until = Instant::now() + self.milliseconds(50..4_000);
                    self.pass(until, findings, |_| false)?;
                }
                _ => self.calm(findings)?,
            }
        }
        // From here on, no process may kill itself, so processes with a crash point are replaced.
        for member in 0..self.armed.len() {
            if self.armed[member].is_some() {
                self.kill(member);
                self.fleet.start(member, &[])?;
            }
        }
        self.calm(findings)
    }

    fn milliseconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.chance.random_range(range))
    }

    fn draw(&mut self) -> Act {
        if self.deck.is_empty() {
            let points = POINTS
                .iter()
                .map(|(point, passes)| Act::KillAt(point, *passes));
            let is_passed = |act: &Act| match act {
                Act::KillAt(OFFSETS_SENT, _) => self.is_exactly_once,
                _ => true,
            };
            self.deck = points
                .chain(ACTS.iter().copied())
                .filter(is_passed)
                .collect();
            self.deck.shuffle(&mut self.chance);
        }
        self.deck.pop().unwrap_or(Act::Restart)
    }

    fn act(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let members = self.fleet.members().iter().enumerate();
        let awake = members.filter(|(_, member)| member.is_alive() && !member.is_paused);
        // Prefer processes that run partitions, because killing an idle process tests little.
        let (busy, idle): (Vec<_>, Vec<_>) =
            awake.partition(|(_, member)| !member.running.is_empty());
        let victims = if busy.is_empty() { idle } else { busy };
        let victims: Vec<usize> = victims.into_iter().map(|(number, _)| number).collect();
        let Some(&member) = victims.choose(&mut self.chance) else {
            return self.pass(
                Instant::now() + Duration::from_millis(100),
                findings,
                |_| false,
            );
        };
        let act = self.draw();
        self.watch = None;
        let had = self.fleet.members()[member].running.clone();
        let now = Instant::now();
        eprintln!(
            "{:>4}: {act:?} of process {member}, which runs partitions {had:?}",
            self.tally.disturbances()
        );
        match act {
            Act::Restart => {
                self.kill(member);
                self.restart(member, had)?;
            }
            Act::Away => {
                // Failovers are measured only if nothing else is going on: a process that is paused or that comes back
                // moves partitions, too.
                let members = self.fleet.members().iter();
                let is_alone = self.later.is_empty()
                    && members
                        .clone()
                        .all(|m| m.is_alive() && !m.is_paused && !m.running.is_empty());
                self.kill(member);
                self.later.push((now + AWAY, Later::Start(member)));
                self.watch = (is_alone && !had.is_empty()).then_some(Watch {
                    partitions: had,
                    since: now,
                    within: Within::Others,
                });
            }
            Act::Pause => {
                let range = match self.chance.random_range(0..4) {
                    0 => SHORT_PAUSE_MS,
                    _ => PAUSE_MS,
                };
                let pause = self.milliseconds(range);
                self.tally.pauses += 1;
                self.fleet.pause(member)?;
                self.later.push((now + pause, Later::Resume(member)));
            }
            Act::LoseState => {
                self.kill(member);
                self.fleet.delete_state(member)?;
                self.tally.states_deleted += 1;
                self.fleet.start(member, &[])?;
            }
            Act::End => {
                self.tally.ends += 1;
                self.end(member, findings)?;
                self.restart(member, had)?;
            }
            Act::KillAt(point, passes) => {
                self.kill(member);
                let pass = self.chance.random_range(1..=passes);
                // If no process has been killed at this point although the point was tried before, the first pass is
                // used.
                let is_missed =
                    self.tally.kills_at.get(point) == Some(&0) && !self.tried.insert(point);
                let pass = if is_missed { 1 } else { pass };
                if is_missed && REPLAYS.contains(&point) {
                    // A process whose local copies are complete has nothing to replay, and would not pass this point.
                    self.fleet.delete_state(member)?;
                    self.tally.states_deleted += 1;
                }
                self.armed[member] = Some(point);
                let crash = ("GOKA_CRASH_AT", format!("{point}:{pass}"));
                self.fleet.start(member, &[crash])?;
                let mut until = now + AT_POINT;
                if MOVES.contains(&point) {
                    until = self.move_partitions(member).unwrap_or(until);
                }
                self.pass(until, findings, |storm| storm.armed[member].is_none())?;
            }
        }
        Ok(())
    }

    /// Kills another process, so that its partitions move to the process `member`, which has to give partitions back
    /// when the killed process returns. Returns the time until which `member` may take to pass its crash point; `None`
    /// if there is no other process to kill.
    fn move_partitions(&mut self, member: usize) -> Option<Instant> {
        let members = self.fleet.members().iter().enumerate();
        let mut others =
            members.filter(|(n, other)| *n != member && other.is_alive() && !other.is_paused);
        let (other, _) = others.next()?;
        self.kill(other);
        let back = Instant::now() + AWAY;
        self.later.push((back, Later::Start(other)));
        Some(back + AT_POINT)
    }

    fn kill(&mut self, member: usize) {
        self.tally.kills += 1;
        self.armed[member] = None;
        self.fleet.kill(member);
    }

    /// Starts a process that was killed or shut down, and measures how long it takes until it runs the partitions that
    /// it had.
    fn restart(&mut self, member: usize, had: BTreeSet<i32>) -> anyhow::Result<()> {
        self.fleet.start(member, &[])?;
        self.watch = (!had.is_empty()).then(|| Watch {
            partitions: had,
            since: Instant::now(),
            within: Within::Restarted(member),
        });
        Ok(())
    }

    /// Shuts down a process, and waits until it has ended.
    pub(crate) fn end(&mut self, member: usize, findings: &mut Findings) -> anyhow::Result<()> {
        self.fleet.ask_to_end(member);
        let until = Instant::now() + CALM;
        while self.fleet.members()[member].is_alive() {
            match self.fleet.wait(until)? {
                News::Ended {
                    member: ended,
                    status,
                } if ended == member => {
                    if !status.success() && !self.has_crashed(member, status) {
                        let log = self.fleet.log_end(member);
                        findings.violation(format!(
                            "process {member} ended with {status} when it was asked to shut down:\n{log}"
                        ));
                    }
                }
                News::Nothing => {
                    findings.violation(format!(
                        "process {member} did not shut down within {CALM:?}"
                    ));
                    self.fleet.kill(member);
                }
                news => self.hear(&news, findings)?,
            }
        }
        Ok(())
    }

    fn kill_broker(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        eprintln!("{:>4}: the broker", self.tally.disturbances());
        self.watch = None;
        self.tally.broker_kills += 1;
        self.is_broker_away = true;
        self.host.kill_and_start_again()?;
        // A process that was starting while the broker was down may have ended. Its end is handled here, while it does
        // not yet count as a violation.
        self.pass(Instant::now() + HEARD, findings, |_| false)?;
        self.calm(findings)?;
        self.is_broker_away = false;
        Ok(())
    }

    /// Waits until every partition runs in exactly one process. If this does not happen in time, adds a violation.
    pub(crate) fn calm(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let partitions = self.partitions;
        // Acts that are due later are performed first, and take time.
        let until = Instant::now() + CALM + AWAY;
        self.pass(until, findings, |storm| {
            storm.later.is_empty() && storm.fleet.is_calm(partitions)
        })?;
        if !self.fleet.is_calm(partitions) {
            let members = self.fleet.members().iter();
            let running: Vec<_> = members.map(|member| &member.running).collect();
            let stuck = format!(
                "after {CALM:?}, some of the {partitions} partitions run in no process or in several; partitions by process: {running:?}"
            );
            findings.violation(stuck.clone());
            findings.stuck = Some(stuck);
        }
        Ok(())
    }

    /// Waits until `done` returns true or the time `until` is reached, and performs the acts that become due in the
    /// meantime.
    pub(crate) fn pass(
        &mut self,
        until: Instant,
        findings: &mut Findings,
        done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        while !done(self) && Instant::now() < until {
            let next = self.later.iter().map(|(at, _)| *at).min();
            let news = self
                .fleet
                .wait(next.map_or(until, |next| next.min(until)))?;
            self.hear(&news, findings)?;
            let now = Instant::now();
            let due = self.later.extract_if(.., |(at, _)| *at <= now);
            for (_, what) in due.collect::<Vec<_>>() {
                match what {
                    Later::Resume(member) => self.fleet.resume(member)?,
                    Later::Start(member) => self.fleet.start(member, &[])?,
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, news: &News, findings: &mut Findings) -> anyhow::Result<()> {
        match news {
            News::Nothing => Ok(()),
            News::Changed => {
                self.look();
                Ok(())
            }
            News::Ended { member, status } => {
                let (member, status) = (*member, *status);
                if !self.has_crashed(member, status) && !self.is_broker_away {
                    let log = self.fleet.log_end(member);
                    findings.violation(format!(
                        "process {member} ended unexpectedly with {status}:\n{log}"
                    ));
                }
                self.fleet.start(member, &[])
            }
        }
    }

    /// Whether a process has killed itself at its crash point. If so, counts this kill.
    fn has_crashed(&mut self, member: usize, status: ExitStatus) -> bool {
        let is_killed = status.signal() == Some(Signal::KILL.as_raw());
        let Some(point) = self.armed[member].take_if(|_| is_killed) else {
            return false;
        };
        eprintln!("      process {member} killed itself at {point}");
        self.tally.crashed_at(point);
        self.watch = None;
        true
    }

    /// Ends the measurement in progress, if there is one and its partitions run.
    fn look(&mut self) {
        let Some(watch) = &self.watch else {
            return;
        };
        let here: BTreeSet<i32> = match watch.within {
            Within::Restarted(member) => self.fleet.members()[member].running.clone(),
            Within::Others => self.fleet.running().collect(),
        };
        if !here.is_superset(&watch.partitions) {
            return;
        }
        let took = watch.since.elapsed();
        match watch.within {
            Within::Restarted(_) => self.tally.restarts.push(took),
            Within::Others => {
                self.tally.failovers.push(took);
                for (at, what) in &mut self.later {
                    if matches!(what, Later::Start(_)) {
                        *at = Instant::now();
                    }
                }
            }
        }
        self.watch = None;
    }
}
