#[goka::processor(group = "click-count", input = api::Click, on_error = retry)]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
