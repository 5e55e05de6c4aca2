#[goka::processor(group = "click-count", input = api::Click, guarantee = "exactly_once")]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
