//! Draws from a seed what happens to the processes, and when. The draws of a seed are always the same; how far a
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

/// How long it may take until every partition runs in exactly one process again, when nothing else happens. Far above
/// what it takes: a busy machine is not a violation.
const CALM: Duration = Duration::from_secs(180);
/// How long a killed process stays down, unless its partitions run in other processes earlier.
const AWAY: Duration = Duration::from_secs(20);
/// How long a process that is to kill itself at a crash point is left alone.
const AT_POINT: Duration = Duration::from_secs(5);
/// How long the news that a process ended may take to arrive.
const HEARD: Duration = Duration::from_secs(2);
/// Longer than goka's default session timeout of 6 s.
const PAUSE_MS: std::ops::Range<u64> = 6_500..10_000;
const SHORT_PAUSE_MS: std::ops::Range<u64> = 200..5_000;

/// Points of the commit protocol at which a process kills itself, by their names in `GOKA_CRASH_AT`, and how many
/// times, at most, the process passes the point before it kills itself there.
const POINTS: &[(&str, u32)] = &[
    ("handled", 500),
    ("delivered", 20),
    (OFFSETS_SENT, 20),
    ("committed", 20),
    ("stored", 20),
    // A killed process lacks only the rows of one commit interval, so few are replayed.
    ("replayed", 3),
    ("replaying", 2),
    ("revoking", 1),
    ("released", 1),
];
/// Points that a process passes only when it gives up partitions.
const MOVES: [&str; 2] = ["revoking", "released"];
/// Points that a process passes only when its local copies lack rows.
const REPLAYS: [&str; 2] = ["replayed", "replaying"];
/// A point that only exactly-once passes.
const OFFSETS_SENT: &str = "offsets-sent";

/// What happens to one process.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Killed, and started again immediately.
    Restart,
    /// Killed, and started again after other processes have taken over its partitions.
    Away,
    /// Paused, mostly for longer than the session timeout, and resumed.
    Pause,
    /// Killed, and started again with an empty state directory.
    LoseState,
    /// Shut down, and started again.
    End,
    /// Killed, and started again so that it kills itself at this point of the commit protocol.
    KillAt(&'static str, u32),
}

/// The acts of one deck, to which each crash point is added. A deck is shuffled and used up before the next one, so
/// that every kind of act happens early in a run.
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

/// An act that is due later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    Resume(usize),
    Start(usize),
}

/// What is measured while nothing else happens.
struct Watch {
    partitions: BTreeSet<i32>,
    since: Instant,
    within: Within,
}

/// Which processes the partitions have to run in.
enum Within {
    /// In the process that ran them before.
    Restarted(usize),
    /// In any process.
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
    /// By process: the crash point at which it is to kill itself.
    armed: Vec<Option<&'static str>>,
    /// Crash points that were tried.
    tried: BTreeSet<&'static str>,
    /// While the broker is down, a process that ends by itself is not a violation.
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

    /// Kills and pauses processes `disturbances` times, and kills the broker `broker_kills` times in between.
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
        // From here on no process kills itself.
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
        // Prefer a process that runs partitions: killing an idle process tests little.
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
            "{:>4}: {act:?} of process {member}, which runs {had:?}",
            self.tally.disturbances()
        );
        match act {
            Act::Restart => {
                self.kill(member);
                self.restart(member, had)?;
            }
            Act::Away => {
                // Only one failure is measured at a time: a process that is paused or comes back also moves partitions.
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
                // A point that an earlier process did not reach is used at the first pass.
                let is_missed =
                    self.tally.kills_at.get(point) == Some(&0) && !self.tried.insert(point);
                let pass = if is_missed { 1 } else { pass };
                if is_missed && REPLAYS.contains(&point) {
                    // A complete copy has nothing to replay.
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

    /// Kills another process. Its partitions move to this process, which has to give partitions back when the other one
    /// returns. Returns the time until which this process may take to pass its crash point.
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

    /// Starts a process that was killed, and measures how long it takes until it runs the partitions that it had.
    fn restart(&mut self, member: usize, had: BTreeSet<i32>) -> anyhow::Result<()> {
        self.fleet.start(member, &[])?;
        self.watch = (!had.is_empty()).then(|| Watch {
            partitions: had,
            since: Instant::now(),
            within: Within::Restarted(member),
        });
        Ok(())
    }

    /// Shuts a process down.
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
                            "process {member} failed to shut down, {status}:\n{log}"
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
        // A process that was starting meanwhile may have failed; this news comes first.
        self.pass(Instant::now() + HEARD, findings, |_| false)?;
        self.calm(findings)?;
        self.is_broker_away = false;
        Ok(())
    }

    /// Waits until every partition runs in exactly one process.
    pub(crate) fn calm(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let partitions = self.partitions;
        // Acts that are due later come first, and take their time.
        let until = Instant::now() + CALM + AWAY;
        self.pass(until, findings, |storm| {
            storm.later.is_empty() && storm.fleet.is_calm(partitions)
        })?;
        if !self.fleet.is_calm(partitions) {
            let members = self.fleet.members().iter();
            let running: Vec<_> = members.map(|member| &member.running).collect();
            let stuck = format!(
                "not all {partitions} partitions run in exactly one process within {CALM:?}; by process: {running:?}"
            );
            findings.violation(stuck.clone());
            findings.stuck = Some(stuck);
        }
        Ok(())
    }

    /// Waits until `done`, and meanwhile performs the acts that are due.
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
                        "process {member} ended unexpectedly, {status}:\n{log}"
                    ));
                }
                self.fleet.start(member, &[])
            }
        }
    }

    /// Whether a process has killed itself at its crash point.
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

    /// Ends the measurement if the watched partitions run.
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
