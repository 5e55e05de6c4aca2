use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, table = ClickCount, lookup(ClickCount))]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
