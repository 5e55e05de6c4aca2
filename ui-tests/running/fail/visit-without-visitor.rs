#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(_ctx: &mut count::Context) {}

async fn run(processor: goka::app::ProcessorHandle<count::Processor>) -> goka::Result<u64> {
    processor.visit("everybody".to_owned()).await
}
fn main() {}
