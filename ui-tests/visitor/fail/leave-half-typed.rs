struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    async fn reset(&self, ctx: &mut goka::Context<'_, Self>, to: i64) -> goka::Result { ctx.set_val(&to) }
}
fn main() {}
