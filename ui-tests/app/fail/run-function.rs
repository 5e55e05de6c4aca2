#[goka::processor(group = "status", input = api::Click)]
fn status(_ctx: &mut status::Context) {}

fn main() {
    let _ = goka::App::new(goka::Config::new()).processor(status);
}
