use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, join(ClickCount))]
fn status(ctx: &mut status::Context) -> goka::Result {
    ctx.emit::<ClickCount>("bob", &7)
}
fn main() {}
