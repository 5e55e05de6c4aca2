#[goka::processor(group = "status", input = "user logins")]
fn status(_ctx: &mut status::Context, _at: u64) {}
fn main() {}
