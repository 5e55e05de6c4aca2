#[goka::processor(group = "click-count", input = api::Click, on_error = retry(3, backoff = 100))]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
