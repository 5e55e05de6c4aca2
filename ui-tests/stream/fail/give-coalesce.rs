#[goka::stream("user-logins", coalesce = true, value = u64)]
struct Logins;
fn main() {}
