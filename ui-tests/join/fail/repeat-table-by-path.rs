use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, join(ClickCount, api::ClickCount))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
