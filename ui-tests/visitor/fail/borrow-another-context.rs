#[goka::processor(group = "other", input = api::Click)]
fn other(_ctx: &mut other::Context) {}
struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut other::Context<'_>, _to: i64) {}
}
fn main() {}
