#[goka::stream("", value = u64)]
struct Logins;
fn main() {}
