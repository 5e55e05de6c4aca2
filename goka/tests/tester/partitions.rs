//! Messages to a partition that the topic does not have. The handler gets an error before any effect of its record is
//! sent, so that a restart cannot add effects of a record that was never processed.

use goka::{Context, Guarantee, Meta, Tester};

#[goka::stream("sales", value = i64)]
struct Sales;
#[goka::table(value = i64)]
struct Sum;
#[goka::stream("receipts", value = i64)]
struct Receipts;

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

/// Adds up sales, and writes two receipts: one to the partition of the key, and one to the partition whose number is
/// the sale.
fn sell<P>(ctx: &mut Context<'_, P>, sale: i64) -> goka::Result
where
    P: goka::Processor<Key = String> + goka::graph::Persists<Sum> + goka::graph::Emits<Receipts>,
{
    let sum = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(sum + sale))?;
    ctx.emit::<Receipts>(ctx.key(), &sale)?;
    let to = i32::try_from(sale).unwrap_or(-1);
    ctx.emit_with::<Receipts>(ctx.key(), &sale, Meta::new().to_partition(to))
}

#[goka::processor(group = "sells", input = Sales, table = Sum, output(Receipts))]
fn sells(ctx: &mut sells::Context<'_>, sale: i64) -> goka::Result {
    sell(ctx, sale)
}

#[test]
fn a_partition_that_is_not_there_is_its_handlers_error_and_nothing_of_its_record_is_kept() {
    for guarantee in BOTH {
        for bad in [99, 4, -1] {
            let mut tester = Tester::new()
                .guarantee(guarantee)
                .processor(sells::Processor);
            for sale in [3, bad] {
                tester.emit::<Sales>("alice", &sale);
            }
            for start in 0..3 {
                let error = tester.run().expect_err("the handler fails").to_string();
                for part in [
                    "handler `sells` of group `sells` cannot write its output",
                    "topic `sales`, partition 1, offset 1, key `alice`",
                    &format!(
                        "topic `receipts` has no partition {bad}, because it has 4 partitions, 0 to 3"
                    ),
                ] {
                    assert!(error.contains(part), "{part}: {error}");
                }
                assert_eq!(tester.get::<Sum>("alice"), Some(3), "start {start}");
                assert_eq!(tester.emitted::<Receipts>().len(), 2, "start {start}");
                assert_eq!(tester.lag::<sells::Processor>(), 1, "start {start}");
                tester.restart::<sells::Processor>();
            }
        }
    }
}

#[goka::processor(group = "skips", input = Sales, table = Sum, output(Receipts), on_error = skip)]
fn skips(ctx: &mut skips::Context<'_>, sale: i64) -> goka::Result {
    sell(ctx, sale)
}

#[test]
fn its_policy_applies() {
    for guarantee in BOTH {
        let mut tester = Tester::new()
            .guarantee(guarantee)
            .processor(skips::Processor);
        for sale in [3, 99, -1, 0] {
            tester.emit::<Sales>("alice", &sale);
        }
        assert_eq!(tester.get::<Sum>("alice"), Some(3));
        let receipts = tester.emitted::<Receipts>();
        let receipts: Vec<_> = receipts.iter().map(|receipt| receipt.value).collect();
        assert_eq!(receipts, [3, 3, 0, 0]);
        assert_eq!(tester.lag::<skips::Processor>(), 0);
    }
}

#[goka::table(value = i32)]
struct Stations;
#[goka::stream("passed", value = i32)]
struct Passed;

/// Sends the remaining hops of a journey through the partitions, one after another and all with one key.
struct Travels;

#[goka::processor(group = "travels", table = Stations, output(Passed))]
impl Travels {
    #[input("journeys")]
    fn begin(&self, ctx: &mut Context<'_, Self>, hops: i32) -> goka::Result {
        ctx.loopback_with(ctx.key(), &hops, Meta::new().to_partition(0))
    }
    #[loopback]
    fn hop(&self, ctx: &mut Context<'_, Self>, hops: i32) -> goka::Result {
        assert_eq!(ctx.value()?, None, "the row must not exist yet");
        let here = ctx.partition();
        ctx.set_value(&here)?;
        ctx.emit::<Passed>(ctx.key(), &here)?;
        match hops {
            0 => Ok(()),
            hops => {
                let next = Meta::new().to_partition(here + 1);
                ctx.loopback_with(ctx.key(), &(hops - 1), next)
            }
        }
    }
}

#[test]
fn a_loopback_goes_to_the_partition_that_it_names() {
    for guarantee in BOTH {
        let mut tester = Tester::new().guarantee(guarantee).processor(Travels);
        tester.emit_to::<Travels>("journeys", "alice", &3);
        tester.run().expect("the journey has four stations");
        let stations = tester.emitted::<Passed>();
        let stations: Vec<_> = stations.iter().map(|passed| passed.value).collect();
        assert_eq!(stations, [0, 1, 2, 3]);

        tester.emit_to::<Travels>("journeys", "bob", &4);
        let error = tester
            .run()
            .expect_err("the topic has only four partitions")
            .to_string();
        for part in [
            "handler `hop`",
            "key `bob`",
            "topic `travels-loop` has no partition 4, because it has 4 partitions, 0 to 3",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
