#[goka::table(group = "sums", value = i64)]
struct Sums;

#[goka::processor(group = "sums", input = "numbers", table = Sums)]
fn add(ctx: &mut add::Context, number: String) -> goka::Result {
    let number: i64 = number.parse()?;
    ctx.set_value(&number)
}
fn main() {}
