#[goka::processor(group = "logins", input = "user-logins")]
unsafe fn login(_ctx: &mut login::Context, _login: u64) {}
fn main() {}
