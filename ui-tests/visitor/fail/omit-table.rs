struct Status;
#[derive(Clone)]
struct Reset;
#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[visitor]
    fn reset(&self, _ctx: &mut goka::Context<'_, Self>, _reset: Reset) {}
}
fn main() {}
