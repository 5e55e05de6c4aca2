#[goka::processor(group = "status", input = api::Click, output())]
fn status(_ctx: &mut status::Context) {}
fn main() {}
