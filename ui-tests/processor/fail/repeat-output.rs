use api::{Click, Warnings};

#[goka::processor(group = "status", input = Click, output(Warnings, Warnings))]
fn status(ctx: &mut status::Context, click: Click) -> goka::Result {
    ctx.emit::<Warnings>("alice", &click.page)
}
fn main() {}
