//! A table of a Go Goka processor is joined by a group that is partitioned as it is, and a function
//! may join and look up the same table.
use goka::{Partitioner, Processor, codec::Text};

#[goka::table(group = "go-users", topic = "go-users-table", value = i64, codec = Text, partitioner = fnv1a)]
struct GoUsers;
#[goka::stream("go-clicks", value = String, partitioner = fnv1a)]
struct GoClicks;

#[goka::processor(group = "status", input = GoClicks, join = GoUsers, lookup = GoUsers)]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _here = ctx.join()?;
    let _there = ctx.lookup("bob")?;
    Ok(())
}
fn main() {
    for edge in status::Processor::GRAPH {
        assert_eq!(edge.topic.partitioner, Partitioner::Fnv1a);
    }
    assert_eq!(status::Processor::GRAPH[1].topic.owner, Some("go-users"));
}
