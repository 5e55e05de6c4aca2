use api::Ban;

#[goka::processor(group = "status", input = Ban)]
fn status(_ctx: &mut status::Context, _reason: String) {}
fn main() {}
