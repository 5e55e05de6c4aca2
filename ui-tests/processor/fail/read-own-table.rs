use api::ClickCount;

#[goka::processor(group = "click-count", input = "click-count-state", table = ClickCount)]
fn count(ctx: &mut count::Context, _clicks: i64) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
