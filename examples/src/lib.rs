//! Code that all examples share: logging, shutdown, and running the parts of an application. The applications know
//! only the types of each other's [`topics`].

pub mod options;
pub mod processors;
pub mod service;
pub mod topics;
pub mod users;

use std::{io, process::ExitCode};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Logs to stderr the events that `RUST_LOG` selects. Without `RUST_LOG`, logs only errors, so that an example's own
/// output stays readable.
pub fn log_quietly() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

/// Waits for Ctrl-C or SIGTERM. After the first call, neither signal ends the process by itself.
///
/// # Errors
/// If the system does not allow the process to handle signals.
pub async fn asked_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// The exit code of a program; prints the error if it failed.
pub fn exit_code(program: &str, ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles the code in `docs/`. This is done here because a package of goka holds no file from outside its own
/// folder.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/errors.md")]
    mod errors {}
    #[doc = include_str!("../../docs/operating.md")]
    mod operating {}
    #[doc = include_str!("../../docs/from-goka.md")]
    mod from_goka {}
}
