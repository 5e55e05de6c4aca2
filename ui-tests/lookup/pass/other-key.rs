//! A table of another key and another partitioner is looked up.
#[goka::table(group = "prices", key = u64, value = u64, partitioner = fnv1a)]
struct Prices;

#[goka::processor(group = "bills", input = "user-orders", lookup(Prices))]
async fn bill(ctx: &mut bill::Context<'_>, product: u64) -> goka::Result {
    std::future::ready(()).await;
    let _price = ctx.lookup::<Prices>(&product)?;
    Ok(())
}
/// Helpers name the edges they need.
fn price<P: goka::Processor + goka::graph::Lookups<Prices>>(
    ctx: &goka::Context<'_, P>,
) -> goka::Result<u64> {
    Ok(ctx.lookup::<Prices>(&7)?.unwrap_or(0))
}
fn main() {
    let _ = price::<bill::Processor>;
}
