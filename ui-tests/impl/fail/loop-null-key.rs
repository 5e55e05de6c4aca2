struct Status;

#[goka::processor(group = "status", key = ())]
impl Status {
    #[input("lines")]
    fn line(&self, _ctx: &mut goka::Context<'_, Self>, _line: String) {}
    #[loopback]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>, _line: String) {}
}
fn main() {}
