//! Faults that the tester injects, under both guarantees.

use std::{collections::BTreeMap, time::Duration};

use goka::{Guarantee, Meta, Tester, tester::CommitStep};

use crate::graph::{Clicks, Prizes, UserClicks, count};

const STEPS: [CommitStep; 4] = [
    CommitStep::Handled,
    CommitStep::Delivered,
    CommitStep::Stored,
    CommitStep::Committed,
];

fn counter(guarantee: Guarantee) -> Tester {
    Tester::new()
        .guarantee(guarantee)
        .processor(count::Processor)
}

#[test]
fn exactly_once_counts_once_wherever_it_crashes() {
    for step in STEPS {
        let mut tester = counter(Guarantee::ExactlyOnce);
        tester.crash_at::<count::Processor>(step);
        tester.emit::<UserClicks>("alice", &100);
        assert_eq!(tester.get::<Clicks>("alice"), Some(100), "{step:?}");
        assert_eq!(tester.emitted::<Prizes>().len(), 1, "{step:?}");
        assert_eq!(tester.crashes(), 1, "{step:?}");
    }
}

#[test]
fn at_least_once_counts_once_and_loses_no_output_wherever_it_crashes() {
    // At `Delivered`, the row and the prize are in their topics, and the offsets are not committed: the record is
    // processed again, on the row that was there before it.
    for step in STEPS {
        let mut tester = counter(Guarantee::AtLeastOnce);
        tester.crash_at::<count::Processor>(step);
        tester.emit::<UserClicks>("alice", &100);
        assert_eq!(tester.get::<Clicks>("alice"), Some(100), "{step:?}");
        let prizes = tester.emitted::<Prizes>().len();
        assert!((1..=2).contains(&prizes), "{step:?}: {prizes} prizes");
        assert_eq!(tester.crashes(), 1, "{step:?}");
    }
}

#[test]
fn a_crash_between_records_loses_and_repeats_nothing() {
    let mut tester = counter(Guarantee::AtLeastOnce);
    tester.emit::<UserClicks>("alice", &1);
    assert_eq!(tester.get::<Clicks>("alice"), Some(1));
    tester.crash::<count::Processor>();
    tester.emit::<UserClicks>("alice", &1);
    assert_eq!(tester.get::<Clicks>("alice"), Some(2));
    tester.restart::<count::Processor>();
    tester.emit::<UserClicks>("alice", &1);
    assert_eq!(tester.get::<Clicks>("alice"), Some(3));
    assert_eq!(tester.crashes(), 1);
}

#[test]
fn partitions_move_between_two_instances_and_back() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = counter(guarantee);
        let mut model = BTreeMap::new();
        let mut emit = |tester: &mut Tester| {
            for i in 0..20 {
                tester.emit::<UserClicks>(&format!("user-{i}"), &1);
                *model.entry(format!("user-{i}")).or_insert(0) += 1;
            }
            model.clone()
        };
        emit(&mut tester);
        assert_eq!(tester.partitions_of::<count::Processor>(0), [0, 1, 2, 3]);
        let second = tester.start_instance::<count::Processor>();
        emit(&mut tester);
        let first = tester.partitions_of::<count::Processor>(0);
        let moved = tester.partitions_of::<count::Processor>(second);
        assert_eq!((first.len(), moved.len()), (2, 2), "{guarantee:?}");
        emit(&mut tester);
        tester.stop_instance::<count::Processor>(0);
        let model = emit(&mut tester);
        assert_eq!(
            tester.partitions_of::<count::Processor>(second),
            [0, 1, 2, 3]
        );
        assert_eq!(tester.rows::<Clicks>(), model, "{guarantee:?}");
    }
}

#[test]
fn an_outage_delays_and_changes_nothing() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = counter(guarantee);
        tester.emit::<UserClicks>("alice", &1);
        assert_eq!(tester.get::<Clicks>("alice"), Some(1));
        let before = tester.now();
        tester.outage(Duration::from_secs(20));
        tester.emit::<UserClicks>("alice", &1);
        assert_eq!(tester.get::<Clicks>("alice"), Some(2), "{guarantee:?}");
        let waited = tester.now().duration_since(before).expect("later");
        assert!(waited >= Duration::from_secs(20), "{waited:?}");
    }
}

#[test]
fn a_delivery_that_fails_is_handled_again() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = counter(guarantee);
        tester.run().expect("started");
        tester.fail_deliveries::<count::Processor>(1, false);
        tester.emit::<UserClicks>("alice", &1);
        assert_eq!(tester.get::<Clicks>("alice"), Some(1), "{guarantee:?}");
    }
    // The row is written, but the answer is lost: the row is undone, or its transaction is aborted.
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = counter(guarantee);
        tester.run().expect("started");
        tester.fail_deliveries::<count::Processor>(1, true);
        tester.emit::<UserClicks>("alice", &1);
        assert_eq!(tester.get::<Clicks>("alice"), Some(1), "{guarantee:?}");
    }
}

#[test]
fn a_panic_of_a_handler_is_reported_with_its_record_and_place() {
    #[goka::processor(group = "fragile", input = UserClicks)]
    fn touch(ctx: &mut touch::Context<'_>, clicks: i64) -> goka::Result {
        assert!(clicks < 7, "{clicks} is too much for {}", ctx.key());
        Ok(())
    }
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut tester = Tester::new()
            .guarantee(guarantee)
            .processor(touch::Processor);
        for clicks in [1, 7] {
            tester.emit_with::<UserClicks>("alice", &clicks, Meta::new().to_partition(2));
        }
        let error = tester.run().expect_err("the handler panics").to_string();
        let told = "handler `touch` of group `fragile` failed: topic `user-clicks`, partition 2, offset 1, key \
                    `alice`: the handler panicked: 7 is too much for alice";
        assert_eq!(error, told);
    }
}
