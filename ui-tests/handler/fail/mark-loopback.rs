#[goka::processor(group = "status", input = api::Click)]
#[loopback]
fn status(_ctx: &mut status::Context) {}
fn main() {}
