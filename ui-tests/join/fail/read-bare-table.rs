#[goka::table(value = u64)]
struct Clicks;

#[goka::processor(group = "status", input = api::Click, join(Clicks))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _clicks = ctx.join::<Clicks>()?;
    Ok(())
}
fn main() {}
