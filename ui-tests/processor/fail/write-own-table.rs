#[goka::stream("click-count-state", value = i64)]
struct Changes;

#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount, output = Changes)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.emit::<Changes>(ctx.key(), &1)
}
fn main() {}
