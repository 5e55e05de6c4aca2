struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _prefix: &str) {}
}
fn main() {}
