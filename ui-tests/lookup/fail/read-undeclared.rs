use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click)]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.lookup::<ClickCount>("bob")?;
    Ok(())
}
fn main() {}
