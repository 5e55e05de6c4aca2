#[goka::processor(group = "status", input = "user-logins", key = f64)]
fn status(_ctx: &mut status::Context, _at: u64) {}
fn main() {}
