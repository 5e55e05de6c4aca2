//! Tests that the simulation finds each fault that can be planted in the engine within a thousand seeds, and reports
//! the seed and a short schedule. `NoUndoGap` and `BarrierOnlyIfRepair` need a zombie's row between two rows of one
//! batch, which none of these seeds has: `engine/tests/foreign.rs` finds them. With `GOKA_SIM_SURVEY=1`, schedules are
//! not shortened.

use std::env;

use super::{MakeRig, engine, report_in, run, schedule::Schedule};
use crate::engine::port::fault::Fault;

/// The number of seeds within which each fault must be found.
const SEEDS: u64 = 1000;
/// Maximum number of attempts to shorten a schedule: a trace of a few pages is short enough.
const TRIES: usize = 40;

const AT_LEAST_ONCE: fn(u64) -> Schedule = Schedule::of;
const EXACTLY_ONCE: fn(u64) -> Schedule = Schedule::exactly_once;

fn is_found(fault: Fault, guarantees: &[fn(u64) -> Schedule]) {
    let rig: MakeRig<'_> = &|schedule: &Schedule| Box::new(engine::Rig::new(schedule, Some(fault)));
    for draw in guarantees {
        let fails = |schedule: &Schedule| run(schedule, rig, false).is_err();
        let found = (0..SEEDS).map(draw).find(fails);
        let schedule = found.unwrap_or_else(|| panic!("no seed found the fault {fault:?}"));
        if env::var_os("GOKA_SIM_SURVEY").is_some() {
            let why = run(&schedule, rig, false).err().map(|(why, _)| why);
            println!("{fault:?} was found by seed {}: {why:?}", schedule.seed);
            continue;
        }
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

#[test]
fn a_tail_that_is_kept_is_found() {
    is_found(Fault::KeepTail, &[AT_LEAST_ONCE]);
}

#[test]
fn a_copy_that_is_stored_before_the_commit_is_found() {
    is_found(Fault::CopyFirst, &[AT_LEAST_ONCE]);
}

#[test]
fn a_copy_of_more_than_the_commit_is_found() {
    is_found(Fault::CopyCurrent, &[AT_LEAST_ONCE]);
}

#[test]
fn a_cut_that_is_taken_one_row_too_high_is_found() {
    is_found(Fault::TailBeyond, &[AT_LEAST_ONCE]);
}

#[test]
fn a_standby_ahead_of_the_cut_is_found() {
    is_found(Fault::StandbyAhead, &[AT_LEAST_ONCE]);
}

#[test]
fn a_claim_that_keeps_the_mark_of_a_clean_close_is_found() {
    is_found(Fault::ClaimKeepsClean, &[AT_LEAST_ONCE]);
}

#[test]
fn a_claim_of_the_offset_before_the_undo_is_found() {
    is_found(Fault::ClaimOldT, &[AT_LEAST_ONCE]);
}

#[test]
fn an_output_that_is_not_waited_for_is_found() {
    is_found(Fault::OutputNotWaited, &[AT_LEAST_ONCE]);
}

#[test]
fn a_copy_that_is_stored_after_a_refused_commit_is_found() {
    is_found(Fault::StoreUnknown, &[AT_LEAST_ONCE]);
}

#[test]
fn a_cut_that_is_believed_without_its_inputs_is_found() {
    is_found(Fault::OldTNewerInputs, &[AT_LEAST_ONCE]);
}

#[test]
fn a_copy_beyond_a_late_commit_that_is_used_is_found() {
    is_found(Fault::LateCommitWithoutRebuild, &[AT_LEAST_ONCE]);
}

#[test]
fn a_hole_before_the_cut_that_is_not_noticed_is_found() {
    is_found(Fault::Lag0LaggingCopy, &[AT_LEAST_ONCE]);
}

#[test]
fn a_torn_commit_that_counts_as_taken_is_found() {
    is_found(Fault::TornCommit, &[AT_LEAST_ONCE]);
}

#[test]
fn an_old_tail_that_counts_as_young_is_found() {
    is_found(Fault::EventTimeRows, &[AT_LEAST_ONCE]);
}
