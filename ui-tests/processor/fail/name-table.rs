use api::Click;

#[goka::processor(group = "status", input = Click, table = "status-state")]
fn status(ctx: &mut status::Context, _click: Click) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
