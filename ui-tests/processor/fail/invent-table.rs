#[goka::processor(group = "status", input = api::Click, table = Clicks)]
fn status(ctx: &mut status::Context) -> goka::Result {
    ctx.delete()
}
fn main() {}
