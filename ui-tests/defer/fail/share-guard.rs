#[goka::processor(group = "status", input = api::Click)]
fn status(ctx: &mut status::Context) {
    let guard = ctx.defer();
    let (one, other) = (guard.clone(), guard);
    one.done();
    other.done();
}
fn main() {}
