#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {
    let _tester = goka::Tester::new().processor(count);
}
