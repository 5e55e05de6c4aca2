#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(ctx: &mut count::Context<'static>) {
    let guard = ctx.defer();
    std::thread::spawn(move || {
        let _ = ctx.set_value(&1);
        guard.done();
    });
}
fn main() {}
