#[goka::table(group = "click-count", ttl = 60, value = u64)]
struct Clicks;
fn main() {}
