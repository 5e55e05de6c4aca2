const TOPIC: &str = "user-logins";

#[goka::stream(TOPIC, value = u64)]
struct Logins;
fn main() {
    println!("{TOPIC}");
}
