use api::{Click, ClickCount};

#[goka::processor(group = "click-count", input = Click, table = ClickCount)]
async fn count(ctx: &mut count::Context<'_>) {
    std::thread::spawn(move || ctx.set_value(&1));
}
fn main() {}
