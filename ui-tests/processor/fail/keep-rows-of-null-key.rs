#[goka::table(key = (), value = u64)]
struct Total;

#[goka::processor(group = "total", input = "lines", key = (), table = Total)]
fn total(ctx: &mut total::Context, _line: String) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
