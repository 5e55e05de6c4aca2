struct Status;

#[goka::processor(group = "status")]
impl Status {
    #[input("user logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>) {}
}
fn main() {}
