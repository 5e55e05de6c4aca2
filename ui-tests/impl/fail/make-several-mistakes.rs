struct Status;

#[goka::processor(group = "user status", outputs(api::Warnings))]
impl Status {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64, _more: u64) {}
    #[input("user/logouts")]
    fn logout(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
