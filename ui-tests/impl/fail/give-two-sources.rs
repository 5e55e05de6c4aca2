struct Status;

#[goka::processor(group = "status")]
impl Status {
    #[input("user-logins")]
    #[loopback]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
