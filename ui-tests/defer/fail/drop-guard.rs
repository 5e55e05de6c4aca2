#![deny(unused_must_use)]

#[goka::processor(group = "status", input = api::Click)]
fn status(ctx: &mut status::Context) {
    ctx.defer();
}
fn main() {}
