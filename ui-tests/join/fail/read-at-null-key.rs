#[goka::table(group = "totals", key = (), value = u64)]
struct Totals;

#[goka::processor(group = "status", input = "events", key = (), join(Totals))]
fn status(_ctx: &mut status::Context, _event: u64) {}
fn main() {}
