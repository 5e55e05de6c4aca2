use api::{Ban, Click};

#[goka::processor(group = "status", input(Click, Ban))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
