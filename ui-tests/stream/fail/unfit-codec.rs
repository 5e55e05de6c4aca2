#[goka::stream("user-logins", value = u64, codec = Raw)]
struct Logins;
fn main() {}
