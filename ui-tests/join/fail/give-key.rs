use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, join(ClickCount))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.join::<ClickCount>("bob")?;
    Ok(())
}
fn main() {}
