#[goka::stream("status-loop", value = u64)]
struct Loop;
struct Status;
#[goka::processor(group = "status", output = Loop)]
impl Status {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[loopback]
    fn two(&self, _ctx: &mut goka::Context<'_, Self>, _id: u64) {}
}
fn main() {}
