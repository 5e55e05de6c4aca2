struct Status(std::cell::Cell<u64>);

#[goka::processor(group = "status")]
impl Status {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, at: u64) {
        self.0.set(at);
    }
}
fn main() {}
