use api::{Click, ClickCount};

#[goka::table(group = "click-count", value = i64)]
struct Again;

#[goka::processor(group = "status", input = Click, join(ClickCount, Again))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
