use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, table = ClickCount, join(ClickCount))]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
