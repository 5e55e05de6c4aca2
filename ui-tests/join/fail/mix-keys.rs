#[goka::table(group = "prices", key = u64, value = u64)]
struct Prices;

#[goka::processor(group = "bills", input = api::Click, join(Prices))]
fn bill(ctx: &mut bill::Context) -> goka::Result {
    let _price = ctx.join::<Prices>()?;
    Ok(())
}
fn main() {}
