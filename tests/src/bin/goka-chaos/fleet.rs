//! The worker processes: starts, kills and pauses them, and reads which partitions they run. Each process has a log
//! file and a state directory. Does not decide what happens to which process.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind},
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::worker;

/// Number of lines at the end of its log that are shown for a process that failed.
const LINES_SHOWN: usize = 12;

/// All processes, by number. Dropping the fleet kills the processes that run.
pub(crate) struct Fleet {
    directory: PathBuf,
    environment: Vec<(String, String)>,
    members: Vec<Member>,
    heard: Receiver<Heard>,
    tell: Sender<Heard>,
    lives: u64,
}

#[derive(Default)]
pub(crate) struct Member {
    child: Option<Child>,
    /// The number of the process's latest start. It distinguishes the output of this start from output of earlier
    /// starts.
    life: u64,
    /// The partitions that the process reported last as running.
    pub(crate) running: BTreeSet<i32>,
    pub(crate) is_paused: bool,
}

struct Heard {
    member: usize,
    life: u64,
    what: What,
}

enum What {
    Running(BTreeSet<i32>),
    /// The process has closed its output.
    Silent,
}

/// The result of `Fleet::wait`.
#[derive(Debug)]
pub(crate) enum News {
    /// The running partitions of a process have changed.
    Changed,
    /// A process has ended by itself.
    Ended { member: usize, status: ExitStatus },
    /// Nothing happened until the deadline.
    Nothing,
}

impl Fleet {
    /// A fleet whose processes are not started yet. Each process gets `environment`, and keeps its state and its log in
    /// `directory`.
    pub(crate) fn new(
        processes: usize,
        directory: PathBuf,
        environment: Vec<(String, String)>,
    ) -> Fleet {
        let (tell, heard) = channel();
        Fleet {
            directory,
            environment,
            members: (0..processes).map(|_| Member::default()).collect(),
            heard,
            tell,
            lives: 0,
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The state directory of a process.
    pub(crate) fn state(&self, member: usize) -> PathBuf {
        self.directory.join(format!("state-{member}"))
    }

    /// The last lines of the log of a process.
    pub(crate) fn log_end(&self, member: usize) -> String {
        let log = fs::read_to_string(self.log(member)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    fn log(&self, member: usize) -> PathBuf {
        self.directory.join(format!("log-{member}"))
    }

    /// Starts a process, with the variables `more` added to its environment.
    pub(crate) fn start(&mut self, number: usize, more: &[(&str, String)]) -> anyhow::Result<()> {
        let mut command = Command::new(env::current_exe().context("cannot find this program")?);
        command
            .arg("worker")
            .env("GOKA_STATE_DIR", self.state(number))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().map(|(name, value)| (*name, value)));
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(number));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.context("cannot write the log of a process")?);
        let mut child = command.spawn().context("cannot start a process")?;
        self.lives += 1;
        let output = child
            .stdout
            .take()
            .context("stdout of the process is not piped")?;
        listen(output, number, self.lives, self.tell.clone());
        self.members[number] = Member {
            child: Some(child),
            life: self.lives,
            ..Member::default()
        };
        Ok(())
    }

    /// Kills a process with SIGKILL, as `kill -9` does.
    pub(crate) fn kill(&mut self, number: usize) {
        let member = &mut self.members[number];
        if let Some(mut child) = member.child.take() {
            // The kill fails only if the process has ended by itself.
            let _ended_already = child.kill();
            let _status = child.wait();
        }
        member.running.clear();
        member.is_paused = false;
    }

    /// Asks a process to shut down.
    pub(crate) fn ask_to_end(&mut self, number: usize) {
        if let Some(child) = &mut self.members[number].child {
            drop(child.stdin.take());
        }
    }

    pub(crate) fn pause(&mut self, number: usize) -> anyhow::Result<()> {
        self.members[number].is_paused = true;
        self.signal(number, Signal::STOP)
    }

    pub(crate) fn resume(&mut self, number: usize) -> anyhow::Result<()> {
        self.members[number].is_paused = false;
        self.signal(number, Signal::CONT)
    }

    fn signal(&self, number: usize, signal: Signal) -> anyhow::Result<()> {
        if let Some(child) = &self.members[number].child {
            kill_process(Pid::from_child(child), signal)
                .with_context(|| format!("cannot send {signal:?} to process {number}"))?;
        }
        Ok(())
    }

    pub(crate) fn delete_state(&self, number: usize) -> anyhow::Result<()> {
        match fs::remove_dir_all(self.state(number)) {
            // The directory does not exist, because the process was killed before it created one.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            deleted => {
                deleted.with_context(|| format!("cannot delete the state of process {number}"))
            }
        }
    }

    /// Waits until the running partitions of a process change, a process ends, or the time `until` is reached.
    pub(crate) fn wait(&mut self, until: Instant) -> anyhow::Result<News> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(heard) = self.heard.recv_timeout(left.max(Duration::from_millis(1))) else {
                return Ok(News::Nothing);
            };
            let member = &mut self.members[heard.member];
            if member.life != heard.life || member.child.is_none() {
                continue;
            }
            match heard.what {
                What::Running(partitions) => {
                    member.running = partitions;
                    return Ok(News::Changed);
                }
                What::Silent => {
                    let Some(child) = &mut member.child else {
                        continue;
                    };
                    let status = child.wait().context("cannot wait for a process")?;
                    member.child = None;
                    member.running.clear();
                    return Ok(News::Ended {
                        member: heard.member,
                        status,
                    });
                }
            }
        }
    }

    /// Whether all processes are alive and not paused, and every partition runs in exactly one of them.
    pub(crate) fn is_calm(&self, partitions: i32) -> bool {
        let all_up = self.members.iter().all(|m| m.is_alive() && !m.is_paused);
        let running: Vec<i32> = self.running().collect();
        let distinct: BTreeSet<i32> = running.iter().copied().collect();
        all_up && running.len() == distinct.len() && distinct == (0..partitions).collect()
    }

    /// The partitions that run in processes that are not paused. A partition that runs in two processes occurs twice.
    pub(crate) fn running(&self) -> impl Iterator<Item = i32> {
        let awake = self.members.iter().filter(|member| !member.is_paused);
        awake.flat_map(|member| member.running.iter().copied())
    }
}

impl Member {
    pub(crate) fn is_alive(&self) -> bool {
        self.child.is_some()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
    }
}

fn listen(output: ChildStdout, member: usize, life: u64, tell: Sender<Heard>) {
    thread::spawn(move || {
        // Sending fails once the run is over, because nobody receives any more.
        let tell = |what| {
            let heard = Heard { member, life, what };
            let _over = tell.send(heard);
        };
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let numbers = line.strip_prefix(worker::RUNNING).unwrap_or_default();
            let numbers = numbers.split_whitespace().map(str::parse);
            tell(What::Running(numbers.map_while(Result::ok).collect()));
        }
        tell(What::Silent);
    });
}
