#[goka::processor(group = "status", input = api::Click, loopback = "status-loop")]
fn status(_ctx: &mut status::Context) {}
fn main() {}
