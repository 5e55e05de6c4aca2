use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, join(ClickCount))]
fn status(ctx: &mut status::Context) -> goka::Result {
    ctx.set_value::<ClickCount>(&1)
}
fn main() {}
