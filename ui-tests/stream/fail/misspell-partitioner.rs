#[goka::stream("user-logins", value = u64, partitioner = murmur3)]
struct Logins;
fn main() {}
