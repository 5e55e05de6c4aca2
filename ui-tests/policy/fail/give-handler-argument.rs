struct Count;
#[goka::processor(group = "count")]
impl Count {
    #[input(api::Click, output(api::Warnings))]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
