//! What all examples share: a quiet log, the wish of the user to end, and how their parts are run. The composed
//! applications share the types of their [`topics`], and nothing else of what they do.

pub mod options;
pub mod processors;
pub mod service;
pub mod topics;
pub mod users;

use std::{io, process::ExitCode};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Logs to stderr what `RUST_LOG` asks for; without it, only errors, so that an example's own output can be read.
pub fn log_quietly() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

/// Waits for Ctrl-C or SIGTERM. From the first call on neither ends the process by itself.
///
/// # Errors
/// If the system does not let the process listen to signals.
pub async fn asked_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// How a program ends: a failure is said.
pub fn exit_code(program: &str, ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}
