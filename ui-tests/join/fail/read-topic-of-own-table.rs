#[goka::table(value = u64)]
struct Own;
#[goka::table(group = "other", topic = "status-state", value = u64)]
struct Other;

#[goka::processor(group = "status", input = api::Click, table = Own, join(Other))]
fn status(ctx: &mut status::Context) -> goka::Result {
    ctx.set_value(&ctx.join::<Other>()?.unwrap_or(0))
}
fn main() {}
