use api::Click;

#[goka::table(key = u64, value = String)]
struct Bans;

#[goka::processor(group = "status", input = Click, table = Bans)]
fn status(ctx: &mut status::Context, click: Click) -> goka::Result {
    ctx.set_value(&click.page)
}
fn main() {}
