//! Tests visitors that the macro prints: the steps from a key's bytes to the effects of the visitor.

use super::*;

#[goka::table(value = u64)]
struct Points;

/// The arguments of `subtract`, which fails if the number is 7.
#[derive(Clone)]
struct Subtract(u64);

/// The arguments of `export`. All clones share the list of the rows that the visitor has seen.
#[derive(Clone)]
struct Export(Arc<std::sync::Mutex<Vec<String>>>);

struct Rewards {
    least: u64,
}

#[goka::processor(group = "rewards", table = Points)]
impl Rewards {
    #[input("user-rewards")]
    fn rewarded(&self, ctx: &mut Context<'_, Self>, points: u64) -> crate::base::error::Result {
        let before = ctx.value()?.unwrap_or(0);
        ctx.set_value(&(before + points))
    }
    #[visitor]
    fn subtract(
        &self,
        ctx: &mut Context<'_, Self>,
        Subtract(points): Subtract,
    ) -> Result<(), BoxError> {
        if points == 7 {
            return Err("seven".into());
        }
        let before = ctx.value()?.unwrap_or(0);
        Ok(ctx.set_value(&before.saturating_sub(points).max(self.least))?)
    }
    #[visitor]
    async fn export(&self, ctx: &mut Context<'_, Self>, export: Export) -> Result<(), BoxError> {
        std::future::ready(()).await;
        let row = format!("{} {:?} {}", ctx.key(), ctx.value()?, ctx.offset());
        export.0.lock().map_err(|_| "poisoned")?.push(row);
        Ok(ctx.delete()?)
    }
}

fn visit<A: Visits<Rewards>>(args: A) -> TypedVisit<Rewards, A> {
    let processor = Arc::new(Rewards { least: 1 });
    TypedVisit { processor, args }
}

/// The record that stands for the row of `key`.
fn row_of(key: &[u8]) -> Record<'_> {
    Record {
        offset: -1,
        ..record(Some(key), None)
    }
}

#[test]
fn a_visitor_writes_the_row_of_its_key() {
    let (rows, tables) = (Rows::default(), &Tables::default());
    rows.write(b"alice", Some(b"40"));
    for (key, expected) in [(b"alice".as_slice(), b"38".as_slice()), (b"bob", b"1")] {
        let (mut effects, subtract) = (Effects::default(), visit(Subtract(2)));
        let reads = Reads {
            rows: &rows,
            tables,
        };
        assert!(!subtract.waits());
        assert_eq!(subtract.name(), "subtract");
        subtract
            .visit(row_of(key), &mut effects, reads)
            .expect("the visitor accepts the row");
        assert_eq!(row(&effects), Some(expected));
    }
}

#[test]
fn a_waiting_visitor_gives_its_effects_back() {
    let rows = Rc::new(Rows::default());
    rows.write(b"alice", Some(b"40"));
    let seen = Export(Arc::default());
    let export = visit(seen.clone());
    assert!(export.waits());
    let record = Rc::new(OwnedRecord::of(&row_of(b"alice")));
    let visited = pin!(export.visit_later(record, Effects::default(), reads(&rows)));
    let mut noop = std::task::Context::from_waker(Waker::noop());
    let Poll::Ready((effects, result)) = visited.poll(&mut noop) else {
        panic!("the handler must not wait");
    };
    result.expect("the visitor accepts the row");
    assert_eq!(*effects.row(), Row::Delete);
    assert_eq!(*seen.0.lock().expect("alive"), ["alice Some(40) -1"]);
}

#[test]
fn a_visit_that_fails_says_what_was_being_done() {
    let (rows, tables) = (Rows::default(), &Tables::default());
    rows.write(b"broken", Some(b"x"));
    let fails = |key: &[u8], points, doing: &str, text: &str| {
        let reads = Reads {
            rows: &rows,
            tables,
        };
        let failed = visit(Subtract(points)).visit(row_of(key), &mut Effects::default(), reads);
        let failure = failed.expect_err(doing);
        assert_eq!(failure.doing, doing);
        assert!(failure.source.to_string().contains(text), "{failure:?}");
    };
    fails(b"alice", 7, "run", "seven");
    fails(b"broken", 1, "run", "rewards-state");
    fails(b"\xff", 1, "decode the key", "utf-8");
}

#[test]
fn a_visit_called_in_the_wrong_way_is_a_failure() {
    let rows = Rc::new(Rows::default());
    let record = Rc::new(OwnedRecord::of(&row_of(b"alice")));
    let subtract = visit(Subtract(1));
    let visited = pin!(subtract.visit_later(record, Effects::default(), reads(&rows)));
    let mut noop = std::task::Context::from_waker(Waker::noop());
    let Poll::Ready((effects, result)) = visited.poll(&mut noop) else {
        panic!("the handler must not wait");
    };
    assert_eq!(
        result.expect_err("the visitor does not wait").doing,
        "be found"
    );
    assert_eq!(*effects.row(), Row::Untouched);
    let export = visit(Export(Arc::default()));
    let reads = Reads {
        rows: &rows,
        tables: &Tables::default(),
    };
    let called = export.visit(row_of(b"alice"), &mut Effects::default(), reads);
    assert_eq!(
        called.expect_err("only an `async fn` handler waits").doing,
        "be found"
    );
}
