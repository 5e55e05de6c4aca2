struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, ctx: &mut goka::Context<'_, Self>) -> goka::Result { ctx.delete() }
}
fn main() {}
