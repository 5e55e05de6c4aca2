struct Count;
#[goka::processor(group = "count")]
impl Count {
    #[input("clicks", on_error = dead_letter)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
    #[input("count-dead-letter")]
    fn failed(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
