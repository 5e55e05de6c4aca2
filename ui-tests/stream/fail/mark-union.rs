#[goka::stream("user-logins")]
union Login {
    _at: u64,
}
fn main() {}
