use api::ClickCount;

#[goka::processor(group = "status", input = ClickCount)]
fn status(_ctx: &mut status::Context, _clicks: i64) {}
fn main() {}
