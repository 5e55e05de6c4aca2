use api::Click;

#[goka::processor("status", input = Click)]
fn status(_ctx: &mut status::Context, _click: Click) {}
fn main() {}
