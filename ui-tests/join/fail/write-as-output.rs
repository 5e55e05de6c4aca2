use api::{Click, ClickCount};

#[goka::stream("click-count-state", value = i64)]
struct Counts;

#[goka::processor(group = "status", input = Click, output(Counts), join(ClickCount))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
