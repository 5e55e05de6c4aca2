#[goka::processor(group = "status", input = api::Click)]
fn status(_ctx: &mut status::Context) {}

fn run(processor: &goka::app::ProcessorHandle<status::Processor>) -> goka::Result {
    let _clicks = processor.get("bob")?;
    Ok(())
}
fn main() {}
