struct Country;

#[goka::processor(group = "status", input = "user-logins", key = Country)]
fn status(_ctx: &mut status::Context, _at: u64) {}
fn main() {}
