#[goka::processor(group = "status", input = api::Click, lookup(api::Prices))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
