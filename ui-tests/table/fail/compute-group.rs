const GROUP: &str = "click-count";

#[goka::table(group = GROUP, value = u64)]
struct Clicks;
fn main() {
    println!("{GROUP}");
}
