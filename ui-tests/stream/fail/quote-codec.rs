#[goka::stream("user-logins", codec = "json")]
struct Login {
    _at: u64,
}
fn main() {}
