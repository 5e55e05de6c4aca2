use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, lookup(ClickCount))]
fn count(_ctx: &mut count::Context) {}
fn main() {}
