use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, join("click-count-state"))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.join::<ClickCount>()?;
    Ok(())
}
fn main() {}
