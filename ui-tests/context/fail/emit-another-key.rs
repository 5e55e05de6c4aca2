use api::{Click, Warnings};

#[goka::processor(group = "warner", input = Click, output = Warnings)]
fn warn(ctx: &mut warn::Context, click: Click) -> goka::Result {
    ctx.emit::<Warnings>(&7, &click.page)
}
fn main() {}
