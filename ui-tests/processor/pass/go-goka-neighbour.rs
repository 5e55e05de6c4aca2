//! Topics that Go Goka writes: all of the group agree.
use goka::{Partitioner, Processor};

#[goka::stream("user-clicks", value = String, partitioner = fnv1a)]
struct Clicks;
#[goka::table(value = i64, partitioner = fnv1a)]
struct Counts;
#[goka::stream("user-warnings", value = String, partitioner = murmur2)]
struct Warnings;

#[goka::processor(group = "my-group", input = Clicks, table = Counts, output = Warnings)]
fn count(ctx: &mut count::Context) -> goka::Result {
    ctx.delete()
}
fn main() {
    let of = |edge: &goka::graph::Edge<_>| edge.topic.partitioner;
    let [input, table, output] = count::Processor::GRAPH else {
        panic!("three edges");
    };
    assert_eq!(of(input), Partitioner::Fnv1a);
    assert_eq!(of(table), Partitioner::Fnv1a);
    assert_eq!(of(output), Partitioner::Murmur2);
}
