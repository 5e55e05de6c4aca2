//! A counter together with its tests: `cargo test --example testing` runs them in memory.

#[goka::stream("user-clicks", value = String)]
struct UserClicks;

#[goka::table(group = "click-count", value = u64)]
struct ClickCount;

#[goka::processor(group = "click-count", input = UserClicks, table = ClickCount)]
fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

#[tokio::main]
async fn main() -> goka::Result {
    goka::App::from_env()?
        .processor(count::Processor)
        .run()
        .await
}

#[cfg(test)]
mod tests {
    use goka::{Emitter, Guarantee, Tester, View, tester::CommitStep};

    use super::*;

    #[test]
    fn clicks_are_counted() {
        let mut tester = Tester::new().processor(count::Processor);
        tester.emit::<UserClicks>("alice", &"12:00".to_owned());
        tester.emit::<UserClicks>("alice", &"12:01".to_owned());
        assert_eq!(tester.get::<ClickCount>("alice"), Some(2));
        assert_eq!(tester.get::<ClickCount>("bob"), None);
    }

    #[test]
    fn a_click_counts_once_also_after_a_crash() {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(count::Processor);
            tester.crash_at::<count::Processor>(CommitStep::Delivered);
            tester.emit::<UserClicks>("alice", &"12:00".to_owned());
            assert_eq!(tester.get::<ClickCount>("alice"), Some(1));
            assert_eq!(tester.crashes(), 1);
        }
    }

    /// Code under test that uses an emitter and a view, for example a service.
    fn click(clicks: &Emitter<UserClicks>, counts: &View<ClickCount>) -> goka::Result<u64> {
        clicks.emit_sync("alice", &"12:00".to_owned())?;
        Ok(counts.get("alice")?.unwrap_or(0))
    }

    #[test]
    fn a_service_works_with_its_emitter_and_its_view() -> goka::Result {
        let mut tester = Tester::new().processor(count::Processor);
        let (clicks, counts) = (tester.emitter(), tester.view());
        click(&clicks, &counts)?;
        tester.run()?;
        assert_eq!(click(&clicks, &counts)?, 1);
        Ok(())
    }
}
