struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, to: i64) -> i64 { to }
}
fn main() {}
