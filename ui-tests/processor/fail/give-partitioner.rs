#[goka::processor(group = "status", input = "user-logins", partitioner = fnv1a)]
fn status(_ctx: &mut status::Context, _at: u64) {}
fn main() {}
