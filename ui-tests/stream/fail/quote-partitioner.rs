#[goka::stream("user-logins", value = u64, partitioner = "fnv1a")]
struct Logins;
fn main() {}
