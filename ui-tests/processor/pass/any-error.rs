//! An error type in the manner of anyhow: not an `Error`, but converts into a boxed one.
struct Anyhow(Box<dyn std::error::Error + Send + Sync>);
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Anyhow {
    fn from(error: E) -> Self {
        Anyhow(Box::new(error))
    }
}
impl From<Anyhow> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Anyhow) -> Self {
        error.0
    }
}

#[goka::processor(group = "one", input = "lines", output = api::Warnings)]
fn one(ctx: &mut one::Context, line: String) -> Result<(), Anyhow> {
    ctx.emit::<api::Warnings>(ctx.key(), &line.parse::<u64>()?.to_string())?;
    Ok(())
}

#[goka::processor(group = "two", input = "lines")]
async fn two(_ctx: &mut two::Context<'_>, line: String) -> Result<(), std::num::ParseIntError> {
    line.parse::<u64>().map(drop)
}
fn main() {}
