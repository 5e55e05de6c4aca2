#[goka::processor(group = "click-count", input = api::Click, on_error(decode = retry(3), handler = skip))]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
