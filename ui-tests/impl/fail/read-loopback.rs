struct Status;
#[goka::processor(group = "status")]
impl Status {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[input("status-loop")]
    fn one(&self, _ctx: &mut goka::Context<'_, Self>, _id: u64) {}
    #[loopback]
    fn two(&self, _ctx: &mut goka::Context<'_, Self>, _id: u64) {}
}
fn main() {}
