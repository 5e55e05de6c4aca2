#[goka::table(group = "click-count", coalesce = "yes", value = u64)]
struct Clicks;
fn main() {}
