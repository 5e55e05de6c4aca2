#[goka::table(group = "click-count", topic = "clicks table", value = u64)]
struct Clicks;
fn main() {}
