#[goka::processor(group = "status", input = api::Click)]
fn status(ctx: &mut status::Context) {
    let guard = ctx.defer();
    guard.done();
    guard.done();
}
fn main() {}
