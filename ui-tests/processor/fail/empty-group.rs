#[goka::processor(group = "", input = api::Click)]
fn status(_ctx: &mut status::Context) {}
fn main() {}
