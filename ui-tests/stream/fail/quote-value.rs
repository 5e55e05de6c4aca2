#[goka::stream("user-logins", value = "u64")]
struct Logins;
fn main() {}
