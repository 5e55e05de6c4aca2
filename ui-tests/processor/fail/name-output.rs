#[goka::processor(group = "status", input = api::Click, output("user-warnings"))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
