struct Status;

#[goka::processor(group = "status")]
impl Status {}

fn main() {
    let _ = goka::App::new(goka::Config::new()).processor(Status);
}
