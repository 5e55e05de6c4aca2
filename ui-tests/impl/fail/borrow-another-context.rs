struct Status;

#[goka::processor(group = "one", input = api::Click)]
fn one(_ctx: &mut one::Context) {}
#[goka::processor(group = "status")]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, one::Processor>) {}
}
fn main() {}
