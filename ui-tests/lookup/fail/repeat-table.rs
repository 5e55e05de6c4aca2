use api::{Click, ClickCount};

#[goka::processor(group = "status", input = Click, lookup(ClickCount), lookup(ClickCount))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
