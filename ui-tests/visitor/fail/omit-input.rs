struct Status;
#[derive(Clone)]
struct Reset;
#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _reset: Reset) {}
}
fn main() {}
