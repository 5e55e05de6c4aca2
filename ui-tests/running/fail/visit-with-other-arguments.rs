struct Status;
#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _to: i64) {}
}
async fn run(running: goka::Running) -> goka::Result<u64> {
    running.visit::<Status, _>("everybody".to_owned()).await
}
fn main() {}
