#[goka::message]
union Login {
    _at: u64,
}
fn main() {}
