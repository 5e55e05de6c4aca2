#[goka::table("click-count", value = u64)]
struct Clicks;
fn main() {}
