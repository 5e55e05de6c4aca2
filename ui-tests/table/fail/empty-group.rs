#[goka::table(group = "", value = u64)]
struct Clicks;
fn main() {}
