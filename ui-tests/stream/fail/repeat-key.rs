#[goka::stream("user-logins", value = u64, key = u64, key = String)]
struct Logins;
fn main() {}
