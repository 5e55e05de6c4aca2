struct At;

#[goka::message]
struct Login {
    _at: At,
}
fn main() {}
