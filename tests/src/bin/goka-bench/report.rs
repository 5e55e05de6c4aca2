//! Prints the result of a run, as text or as one line of JSON.

use serde::Serialize;

use crate::{
    measure::Measured,
    settings::{Guarantee, Settings},
};

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) what: &'static str,
    settings: Settings,
    #[serde(flatten)]
    pub(crate) measured: Measured,
    messages_per_second: f64,
    verified: bool,
}

impl Report {
    pub(crate) fn new(
        what: &'static str,
        settings: &Settings,
        measured: Measured,
        verified: bool,
    ) -> Report {
        Report {
            what,
            settings: settings.clone(),
            messages_per_second: measured.per_second().round(),
            measured,
            verified,
        }
    }

    /// Prints the result of the run, and returns whether the result was verified.
    pub(crate) fn show(&self, json: bool) -> anyhow::Result<bool> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(self.verified);
        }
        let Measured {
            messages,
            seconds,
            cpu_seconds,
            peak_anonymous_mib,
            peak_file_mib,
            more,
        } = &self.measured;
        let mib = |memory: &Option<f64>| memory.map_or("?".to_owned(), |mib| format!("{mib:.0}"));
        println!(
            "{}{}: {messages} in {seconds:.3} s, {} a second; {cpu_seconds:.2} s of CPU; at most {} MiB, and {} MiB of \
             files; {}",
            self.what,
            match self.settings.guarantee {
                None => "",
                Some(Guarantee::AtLeastOnce) => ", at-least-once",
                Some(Guarantee::ExactlyOnce) => ", exactly-once",
            },
            self.messages_per_second,
            mib(peak_anonymous_mib),
            mib(peak_file_mib),
            if self.verified {
                "verified"
            } else {
                "WRONG: the result does not match the messages"
            },
        );
        for (name, value) in more {
            println!("  {name}: {value}");
        }
        Ok(self.verified)
    }
}
