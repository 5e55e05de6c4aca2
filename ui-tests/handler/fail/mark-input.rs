#[goka::processor(group = "status")]
#[input(api::Click)]
fn status(_ctx: &mut status::Context) {}
fn main() {}
