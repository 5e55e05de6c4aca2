//! What the tester does, with values by hand.

use crate::{Guarantee, Tester, tester::CommitStep};

#[goka::table(group = "my-group", value = i64)]
struct Clicks;

#[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

#[test]
fn counts() {
    let mut tester = Tester::new().processor(count::Processor);
    tester.set::<Clicks>("alice", &41);
    tester.emit_to::<count::Processor>("user-clicks", "alice", &"12:00".to_owned());
    assert_eq!(tester.get::<Clicks>("alice"), Some(42));
    assert_eq!(tester.get::<Clicks>("bob"), None);
    let at = std::time::Instant::now();
    for _ in 0..100 {
        tester.emit_to::<count::Processor>("user-clicks", "alice", &"12:00".to_owned());
        tester.get::<Clicks>("alice");
    }
    eprintln!("{:?}", at.elapsed());
}

#[test]
fn crash_at() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        for step in [
            CommitStep::Handled,
            CommitStep::Delivered,
            CommitStep::Stored,
            CommitStep::Committed,
        ] {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(count::Processor);
            tester.crash_at::<count::Processor>(step);
            tester.emit_to::<count::Processor>("user-clicks", "alice", &"12:00".to_owned());
            tester.emit_to::<count::Processor>("user-clicks", "bob", &"12:00".to_owned());
            let got = tester.get::<Clicks>("alice");
            eprintln!("{guarantee:?} {step:?} {got:?} {}", tester.crashes());
        }
    }
}
