struct Status;

#[goka::processor(group = "status", input = "user-logins")]
impl Status {
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
