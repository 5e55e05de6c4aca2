//! What a running processor is asked, by other tasks too.
use goka::{Running, app::ProcessorHandle};

#[goka::processor(group = "click-count", input = api::Click, table = api::ClickCount)]
fn count(_ctx: &mut count::Context) {}

fn clicks(running: &Running) -> goka::Result<i64> {
    let processor = running.processor::<count::Processor>()?;
    Ok(processor.get("bob")?.unwrap_or(0))
}
fn is_shared<T: Clone + Send + Sync + 'static>() {}

fn main() {
    is_shared::<ProcessorHandle<count::Processor>>();
    let _ = clicks;
}
