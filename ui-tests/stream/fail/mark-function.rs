#[goka::stream("user-logins")]
fn login() {}

fn main() {
    login();
}
