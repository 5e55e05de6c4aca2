struct Status;

#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[input("user-clicks")]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
