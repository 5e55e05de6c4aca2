use api::{Click, Warnings};

#[goka::processor(group = "status", input = Click, join(Warnings))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _warning = ctx.join::<Warnings>()?;
    Ok(())
}
fn main() {}
