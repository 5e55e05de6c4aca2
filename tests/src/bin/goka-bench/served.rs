//! An instance of the processor of marks that runs in a process of its own. This file has both sides: the code of that
//! process, and the handle with which another process starts and controls it.
//!
//! The process of the instance prints its running partitions whenever they change, and ends when its standard input is
//! closed.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use goka::{App, app::PartitionState, config::Membership};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, stdin},
    time::{MissedTickBehavior, interval},
};

use crate::{Task, What, relay, settings::Settings, table::mark};

const PATIENCE: Duration = Duration::from_secs(60);
/// The group counts as stable when its partitions have not changed for this long. Changes may come late: workers join
/// one after the other, and members learn of a rebalance only with their next heartbeat.
const SETTLED: Duration = Duration::from_secs(3);

/// The kind of instance that a process runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) enum Instance {
    #[default]
    Static,
    /// A processor that leaves its group when it stops.
    Dynamic,
    /// The relay of `relay.rs`, which is not a processor.
    Plain,
}

/// A running instance. Dropping it kills its process.
pub(crate) struct Served {
    child: Child,
    partitions: Arc<Mutex<BTreeSet<i32>>>,
    /// How many times the instance has reported its running partitions.
    changes: Arc<AtomicU64>,
}

impl Served {
    pub(crate) fn start(
        settings: &Settings,
        prefix: &str,
        instance: Instance,
    ) -> anyhow::Result<Self> {
        let task = Task {
            what: What::Serve { instance },
            settings: settings.clone(),
            prefix: prefix.to_owned(),
        };
        let program = env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(["measured", &serde_json::to_string(&task)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process")?;
        let output = child
            .stdout
            .take()
            .context("stdout of the process is not piped")?;
        let partitions = Arc::<Mutex<BTreeSet<i32>>>::default();
        let changes = Arc::<AtomicU64>::default();
        let (told, changed) = (partitions.clone(), changes.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(now) = serde_json::from_str(&line) {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = now;
                    changed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Served {
            child,
            partitions,
            changes,
        })
    }

    /// The running partitions that the instance reported last.
    pub(crate) fn partitions(&self) -> BTreeSet<i32> {
        let partitions = self.partitions.lock();
        partitions.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the instance runs `partitions` partitions.
    pub(crate) async fn runs(&mut self, partitions: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut ticks = interval(Duration::from_millis(5));
        while self.partitions().len() != partitions {
            ticks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("an instance of the processor ended with {status}");
            }
            let here = self.partitions();
            ensure!(
                started.elapsed() < PATIENCE,
                "an instance of the processor runs partitions {here:?}, but should run {partitions} partitions"
            );
        }
        Ok(())
    }

    /// Waits until the instance runs `partitions` partitions, and its workers no longer move partitions among
    /// themselves.
    pub(crate) async fn settles(&mut self, partitions: usize) -> anyhow::Result<()> {
        let mut looks = interval(SETTLED);
        looks.tick().await;
        loop {
            self.runs(partitions).await?;
            looks.reset();
            let before = self.changes.load(Ordering::Relaxed);
            looks.tick().await;
            if self.changes.load(Ordering::Relaxed) == before {
                return Ok(());
            }
        }
    }

    /// Asks the instance to shut down, and returns without waiting for its end.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Asks the instance to shut down, and waits until it has ended.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.stop();
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "an instance of the processor ended with {status}"
        );
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The kill fails only if the process has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The main loop of the instance's process.
pub(crate) async fn serve(
    instance: Instance,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let mut config = settings.config(prefix)?.state_dir(state.path());
    match instance {
        Instance::Static => {}
        Instance::Dynamic => config = config.membership(Membership::Dynamic),
        Instance::Plain => return relay::serve(settings, prefix).await,
    }
    let running = App::new(config).processor(mark::Processor).start().await?;
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut input, mut byte) = (stdin(), [0]);
    let mut told = None;
    loop {
        tokio::select! {
            _end = input.read(&mut byte) => break,
            _tick = ticks.tick() => {
                let partitions = running.stats().groups.remove(0).partitions;
                let runs = |(n, state)| (state == PartitionState::Running).then_some(n);
                let runs: BTreeSet<i32> = partitions.into_iter().filter_map(runs).collect();
                if told.as_ref() != Some(&runs) {
                    println!("{}", serde_json::to_string(&runs)?);
                    told = Some(runs);
                }
            }
        }
    }
    running.shutdown().await?;
    Ok(())
}
