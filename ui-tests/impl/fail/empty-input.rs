struct Status;

#[goka::processor(group = "status")]
impl Status {
    #[input]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
