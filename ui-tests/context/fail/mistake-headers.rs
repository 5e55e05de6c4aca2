use api::{Click, Warnings};

#[goka::processor(group = "status", input = Click, output(Warnings))]
fn status(ctx: &mut status::Context) -> goka::Result {
    ctx.emit_with::<Warnings>("bob", &String::new(), ctx.headers())
}
fn main() {}
