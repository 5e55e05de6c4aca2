//! The guard of a deferred record goes to a thread, the context stays.
#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(ctx: &mut count::Context, click: api::Click) -> goka::Result {
    let guard = ctx.defer();
    std::thread::spawn(move || match click.page.as_str() {
        "" => guard.fail("no page"),
        _ => guard.done(),
    });
    ctx.set_value(&1)
}
fn main() {
    let _ = goka::App::new(goka::Config::new()).processor(count::Processor);
}
