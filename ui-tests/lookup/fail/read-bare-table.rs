#[goka::table(value = u64)]
struct Clicks;

#[goka::processor(group = "status", input = api::Click, lookup = Clicks)]
fn status(_ctx: &mut status::Context) {}
fn main() {}
