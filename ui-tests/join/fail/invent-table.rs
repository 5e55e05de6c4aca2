#[goka::processor(group = "status", input = api::Click, join(ClickCount))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.join::<api::ClickCount>()?;
    Ok(())
}
fn main() {}
