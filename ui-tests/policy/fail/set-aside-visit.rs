struct Count;
#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Count {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor(on_error = retry(3, then = dead_letter))]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _to: i64) {}
}
fn main() {}
