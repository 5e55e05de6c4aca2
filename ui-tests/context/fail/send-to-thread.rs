use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, table = ClickCount)]
fn count(ctx: &mut count::Context) {
    std::thread::scope(|threads| {
        threads.spawn(|| ctx.set_value(&1));
    });
}
fn main() {}
