struct Status;
#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, ctx: &mut goka::Context<'_, Self>, click: api::Click) -> goka::Result {
        ctx.loopback("bob", &click.page)
    }
    #[loopback]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>, _id: u64) {}
}
fn main() {}
