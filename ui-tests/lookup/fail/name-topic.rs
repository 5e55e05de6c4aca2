#[goka::processor(group = "status", input = api::Click, lookup = "prices-state")]
fn status(_ctx: &mut status::Context) {}
fn main() {}
