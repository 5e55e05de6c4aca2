//! The loopback is partitioned as the group's inputs are.
use goka::{Context, Partitioner, Processor};

#[goka::stream("go-clicks", value = String, partitioner = fnv1a)]
struct Clicks;

struct Status;

#[goka::processor(group = "status")]
impl Status {
    #[input(Clicks)]
    fn clicked(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
        ctx.loopback("bob", &1)
    }
    #[loopback]
    fn again(&self, _ctx: &mut Context<'_, Self>, _id: u64) {}
}
fn main() {
    for edge in Status::GRAPH {
        assert_eq!(edge.topic.partitioner, Partitioner::Fnv1a);
    }
}
