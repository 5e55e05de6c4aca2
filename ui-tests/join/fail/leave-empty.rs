#[goka::processor(group = "status", input = api::Click, join())]
fn status(_ctx: &mut status::Context) {}
fn main() {}
