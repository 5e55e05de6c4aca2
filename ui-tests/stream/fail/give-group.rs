#[goka::stream("user-logins", group = "logins", value = u64)]
struct Logins;
fn main() {}
