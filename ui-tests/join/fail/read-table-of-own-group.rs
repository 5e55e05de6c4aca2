use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, join(ClickCount))]
fn count(ctx: &mut count::Context) -> goka::Result {
    let _clicks = ctx.join::<ClickCount>()?;
    Ok(())
}
fn main() {}
