#[goka::stream(topic = "user-logins", value = u64)]
struct Logins;
fn main() {}
