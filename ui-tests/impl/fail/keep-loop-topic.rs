struct Status;
#[goka::table(group = "status", topic = "status-loop", value = u64)]
struct Seen;
#[goka::processor(group = "status", table = Seen)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[loopback]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>, _times: u64) {}
}
fn main() {}
