#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
struct Reset;
fn test(tester: &mut goka::Tester) -> goka::Result<u64> {
    tester.visit::<count::Processor>(Reset)
}
fn main() {}
