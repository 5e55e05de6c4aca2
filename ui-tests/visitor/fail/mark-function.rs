#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
#[visitor]
fn reset(ctx: &mut reset::Context) -> goka::Result {
    ctx.delete()
}
fn main() {}
