use api::{Click, ClickCount, Warnings};

#[goka::processor(group = "click-count", input = Click, table = ClickCount)]
fn count(ctx: &mut count::Context, click: Click) -> goka::Result {
    ctx.emit_tombstone::<Warnings>(&click.page)
}
fn main() {}
