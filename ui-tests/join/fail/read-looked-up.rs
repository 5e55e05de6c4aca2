use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, lookup(ClickCount))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.join::<ClickCount>()?;
    Ok(())
}
fn main() {}
