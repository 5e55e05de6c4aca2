struct Status;
#[goka::processor(group = "status", loopback(again))]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
