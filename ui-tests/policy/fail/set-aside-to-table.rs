#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount, on_error(panic = dead_letter("click-count-state")))]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
