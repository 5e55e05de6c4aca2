#[goka::table(value = u64)]
struct Clicks;

async fn open(config: &goka::Config) -> goka::Result {
    let view = goka::View::<Clicks>::open(config).await?;
    let _clicks = view.get("alice")?;
    Ok(())
}
fn main() {}
