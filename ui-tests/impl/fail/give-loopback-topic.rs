struct Status;
#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[loopback("status-loop")]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>, _times: u64) {}
}
fn main() {}
