//! A helper shared by processors: the marker traits are ordinary bounds.
use api::{Click, ClickCount, Warnings};
use goka::{Context, Processor, graph::{Emits, Persists}};

fn bump<P>(ctx: &mut Context<'_, P>) -> goka::Result
where
    P: Processor<Key = String> + Persists<ClickCount> + Emits<Warnings>,
{
    let clicks = ctx.value()?.unwrap_or(0) + 1;
    ctx.emit::<Warnings>(ctx.key(), &format!("{clicks}"))?;
    ctx.set_value(&clicks)
}

#[goka::processor(group = "click-count", input = Click, table = ClickCount, output = Warnings)]
fn count(ctx: &mut count::Context) -> goka::Result {
    bump(ctx)
}
fn main() {}
