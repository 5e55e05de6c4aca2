#[goka::message(codec = Json)]
struct Login {
    _at: u64,
}
fn main() {}
