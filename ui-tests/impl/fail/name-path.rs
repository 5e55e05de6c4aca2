mod inner {
    pub struct Status;
}
#[goka::processor(group = "status")]
impl inner::Status {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
