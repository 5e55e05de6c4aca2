#[goka::stream("user-logins", key = f64, value = u64)]
struct Logins;
fn main() {}
