#[goka::processor(group = "click-count", input = api::Click, output(api::Warnings), on_error = retry(3, then = dead_letter("user-warnings")))]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {}
