#[goka::processor(group = "status", input = api::Click)]
fn status(_ctx: &mut status::Context) {}

fn run(running: &goka::Running) -> goka::Result {
    let _status = running.processor::<api::Click>()?;
    Ok(())
}
fn main() {}
