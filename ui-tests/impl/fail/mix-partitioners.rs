#[goka::stream("go-clicks", value = String, partitioner = fnv1a)]
struct GoClicks;
struct Status;
#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[input(GoClicks)]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
