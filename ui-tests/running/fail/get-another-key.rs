#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(_ctx: &mut count::Context) {}

fn run(processor: &goka::app::ProcessorHandle<count::Processor>) -> goka::Result {
    let _clicks = processor.get(&7)?;
    Ok(())
}
fn main() {}
