#[goka::stream("click-count-state", value = i64)]
struct Changes;

#[goka::processor(group = "click-count", input = Changes, table = api::ClickCount)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.delete()
}
fn main() {}
