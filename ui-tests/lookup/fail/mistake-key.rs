#[goka::table(group = "prices", key = u64, value = u64)]
struct Prices;

#[goka::processor(group = "bills", input = api::Click, lookup(Prices))]
fn bill(ctx: &mut bill::Context) -> goka::Result {
    let _price = ctx.lookup::<Prices>("tea")?;
    Ok(())
}
fn main() {}
