use api::Click;

#[goka::processor(group = "click-count", input = Click)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.set_value(&1)
}
fn main() {}
