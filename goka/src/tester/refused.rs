//! Tests that a commit interval is never committed if the producer refused some effects of a record in it, even if the
//! process shuts down cleanly. Must not know types other than its own.

use std::sync::Arc;

use super::instance::{Instance, Setup};
use crate::{
    base::{config::Guarantee, error::Error, kind::Kind},
    engine::program::Program,
    sim::kafka::{Settings, World},
    typed::program::Typed,
};

#[goka::table(value = i64)]
struct Sum;
#[goka::stream("receipts", value = i64)]
struct Receipts;

/// Adds up sales. A sale of more than 10 also emits a receipt.
#[goka::processor(group = "sells", input = "sales", table = Sum, output(Receipts))]
fn sells(ctx: &mut sells::Context<'_>, sale: i64) -> goka::Result {
    let sum = ctx.value()?.unwrap_or(0) + sale;
    ctx.set_value(&sum)?;
    match sale {
        ..=10 => Ok(()),
        _ => ctx.emit::<Receipts>(ctx.key(), &sale),
    }
}

#[test]
fn a_record_of_which_a_part_was_refused_is_not_committed_by_a_good_end() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let world = World::new(Settings::default());
        for topic in ["sales", "sells-state"] {
            world.create_topic(topic, 1);
        }
        let program: Arc<dyn Program> = Arc::new(Typed(Arc::new(sells::Processor)));
        // The connection does not know the output topic, and refuses records for that topic.
        let mut edges = program.edges();
        edges.retain(|edge| edge.kind != Kind::Output);
        let setup = Setup {
            world: &world,
            program: &program,
            edges: &edges,
            guarantee,
        };
        let mut instance =
            Instance::new("sells", 0).expect("the temporary directory can be created");
        for start in 0..3 {
            instance.start(&setup).expect("the instance starts");
            let wait = world.append("sales", 0, Some(b"alice"), Some(b"3"));
            wait.expect("written");
            let refused = world.append("sales", 0, Some(b"alice"), Some(b"40"));
            refused.expect("written");
            let error = (0..1_000).find_map(|_| instance.turn(&world).err());
            assert!(
                matches!(error, Some(Error::Kafka { .. } | Error::Topic(_))),
                "{guarantee:?}, start {start}: {error:?}"
            );
            let committed = world.committed("sells", "sales", 0);
            let at = committed.map(|committed| committed.offset);
            assert_eq!(at, Some(0), "{guarantee:?}, start {start}");
            if guarantee == Guarantee::ExactlyOnce {
                let end = world.readable_end("sells-state", 0).expect("the topic");
                assert_eq!(end, 0, "start {start}");
            }
        }
    }
}
