#[goka::processor(group = "click-count", input = api::Click, guarantee = at_most_once)]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
