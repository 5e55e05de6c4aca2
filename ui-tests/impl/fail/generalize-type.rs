struct Status<T>(T);

#[goka::processor(group = "status")]
impl<T> Status<T> {
    #[input("user-logins")]
    fn login(&self, _ctx: &mut goka::Context<'_, Self>, _at: u64) {}
}
fn main() {}
