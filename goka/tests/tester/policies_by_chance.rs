//! Policies under random faults. A seed chooses how long records take, which answers get lost, when partitions move,
//! and when processes are killed. The expected values come from a plain model.

use std::{collections::BTreeMap, time::Duration};

use goka::{BoxError, Context, Guarantee, Tester, tester::CommitStep};

#[goka::stream("orders", value = u64)]
struct Orders;
#[goka::stream("orders", value = String)]
struct AnyOrders;
#[goka::stream("receipts", value = u64)]
struct Receipts;
#[goka::stream("shop-dead-letter", value = String)]
struct Refused;
#[goka::table(value = u64)]
struct Spent;

struct Shop;

#[goka::processor(group = "shop", table = Spent, output(Receipts))]
impl Shop {
    /// An order that is a multiple of 5 fails each time it is tried; an order that is a multiple of 7 waits.
    #[input(Orders, on_error(decode = dead_letter, handler = retry(2, backoff_ms = 30..=50, then = dead_letter)))]
    async fn ordered(&self, ctx: &mut Context<'_, Self>, order: u64) -> Result<(), BoxError> {
        let spent = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(spent + order))?;
        ctx.emit::<Receipts>(ctx.key(), &order)?;
        if order.is_multiple_of(7) {
            tokio::task::yield_now().await;
        }
        match order % 5 {
            0 => Err("refused".into()),
            _ => Ok(()),
        }
    }
}

fn orders() -> impl Iterator<Item = (String, String)> {
    (0..60_u64).map(|n| {
        let order = match n % 11 {
            3 => "a bicycle".to_owned(),
            _ => n.to_string(),
        };
        (format!("user {}", n % 6), order)
    })
}

#[test]
fn under_exactly_once_each_record_has_one_fate_once() {
    let mut expected = BTreeMap::<String, u64>::new();
    let mut refused = Vec::new();
    for (user, order) in orders() {
        match order.parse::<u64>() {
            Ok(order) if order % 5 != 0 => *expected.entry(user).or_default() += order,
            _ => refused.push((user, order)),
        }
    }
    refused.sort();
    for seed in 0..30 {
        println!("seed {seed}");
        let mut tester = Tester::new()
            .guarantee(Guarantee::ExactlyOnce)
            .seed(seed)
            .processor(Shop);
        let steps = [
            CommitStep::Handled,
            CommitStep::Delivered,
            CommitStep::Committed,
        ];
        tester.crash_at::<Shop>(steps[seed as usize % 3]);
        for (n, (user, order)) in orders().enumerate() {
            tester.emit::<AnyOrders>(&user, &order);
            match n {
                20 => {
                    tester.start_instance::<Shop>();
                }
                30 => tester.advance(Duration::from_millis(60)),
                40 => tester.crash::<Shop>(),
                _ => {}
            }
        }
        assert_eq!(tester.rows::<Spent>(), expected, "seed {seed}");
        let letters = tester.emitted::<Refused>().into_iter();
        let mut letters: Vec<_> = letters.map(|letter| (letter.key, letter.value)).collect();
        letters.sort();
        assert_eq!(letters, refused, "seed {seed}");
        let receipts = tester.emitted::<Receipts>();
        assert_eq!(receipts.len(), 60 - refused.len(), "seed {seed}");
    }
}
