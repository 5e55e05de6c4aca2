#[goka::processor(group = "status", input = "")]
fn status(_ctx: &mut status::Context, _at: u64) {}
fn main() {}
