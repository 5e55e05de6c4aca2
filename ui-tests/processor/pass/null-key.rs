//! Records without a key: nothing is kept by key.
#[goka::stream("lines", key = (), value = String)]
struct Lines;
#[goka::stream("words", value = String)]
struct Words;

#[goka::processor(group = "split", input = Lines, key = (), output(Words, Lines))]
fn split(ctx: &mut split::Context, line: String) -> goka::Result {
    let () = ctx.key();
    ctx.emit::<Lines>(&(), &line)?;
    ctx.emit::<Words>(&line, &line)
}
fn main() {}
