struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _to: i64) {}
    #[visitor]
    fn add(&self, _ctx: &mut goka::Context<'_, Self>, _more: i64) {}
}
fn main() {}
