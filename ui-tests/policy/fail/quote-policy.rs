#[goka::processor(group = "click-count", input = api::Click, on_error = "skip")]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
