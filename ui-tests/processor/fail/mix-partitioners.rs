#[goka::table(value = u64, partitioner = fnv1a)]
struct Clicks;

#[goka::processor(group = "click-count", input = api::Click, table = Clicks)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
