//! Tests that the simulation finds each fault that can be planted in the engine within a thousand seeds, and reports
//! the seed and a short schedule.

use super::{MakeRig, engine, report_in, run, schedule::Schedule};
use crate::engine::port::fault::Fault;

/// The number of seeds within which each fault must be found.
const SEEDS: u64 = 1000;
/// Maximum number of attempts to shorten a schedule: a trace of a few pages is short enough.
const TRIES: usize = 150;

const AT_LEAST_ONCE: fn(u64) -> Schedule = Schedule::of;
const EXACTLY_ONCE: fn(u64) -> Schedule = Schedule::exactly_once;

fn is_found(fault: Fault, guarantees: &[fn(u64) -> Schedule]) {
    let rig: MakeRig<'_> = &|schedule: &Schedule| Box::new(engine::Rig::new(schedule, Some(fault)));
    for draw in guarantees {
        let fails = |schedule: &Schedule| run(schedule, rig, false).is_err();
        let found = (0..SEEDS).map(draw).find(fails);
        let schedule = found.unwrap_or_else(|| panic!("no seed found the fault {fault:?}"));
        let report = report_in(&schedule, rig, TRIES);
        // The report has the seed, and the trace at least to the end of the schedule.
        let seed = format!("seed {}: ", schedule.seed);
        let trace = "no more faults from here on";
        assert!(
            report.starts_with(&seed) && report.contains(trace),
            "{report}"
        );
        println!("{fault:?} was found. {report}");
    }
}

#[test]
fn a_commit_before_the_acknowledgement_is_found() {
    is_found(Fault::CommitBeforeAck, &[AT_LEAST_ONCE, EXACTLY_ONCE]);
}

#[test]
fn a_tail_that_is_not_replayed_is_found() {
    is_found(Fault::SkipTail, &[AT_LEAST_ONCE, EXACTLY_ONCE]);
}

#[test]
fn a_deletion_that_is_not_written_is_found() {
    is_found(Fault::DropTombstone, &[AT_LEAST_ONCE, EXACTLY_ONCE]);
}

#[test]
fn a_record_that_is_applied_twice_is_found() {
    is_found(Fault::DoubleApply, &[AT_LEAST_ONCE, EXACTLY_ONCE]);
}

#[test]
fn effects_of_a_failed_handler_are_found() {
    is_found(Fault::KeepFailed, &[AT_LEAST_ONCE, EXACTLY_ONCE]);
}

#[test]
fn a_former_owner_that_is_not_fenced_is_found() {
    is_found(Fault::NoFence, &[EXACTLY_ONCE]);
}

#[test]
fn a_question_asked_before_its_answer_is_decided_is_found() {
    is_found(Fault::NoGate, &[EXACTLY_ONCE]);
}
