//! Several handlers with injected state: each kind of them, and other methods beside.
use api::{Click, Warnings};
use goka::Context;

#[goka::table]
#[derive(Default)]
struct Status {
    clicks: u64,
    name: String,
}
#[goka::message]
struct Recheck {
    limit: u64,
}
struct UserStatus {
    limit: u64,
}

#[goka::processor(group = "user-status", table = Status, output(Warnings))]
impl UserStatus {
    const LEAST: u64 = 7;

    fn new() -> Self {
        UserStatus { limit: Self::LEAST }
    }
    #[loopback]
    fn recheck(&self, ctx: &mut Context<'_, Self>, recheck: Recheck) -> goka::Result {
        if ctx.value()?.is_some_and(|status| status.clicks > recheck.limit) {
            ctx.emit::<Warnings>(ctx.key(), &"enough".to_owned())?;
        }
        Ok(())
    }
    #[input(Click)]
    fn clicked(&self, ctx: &mut Context<'_, Self>, _click: Click) -> goka::Result {
        let mut status = ctx.value()?.unwrap_or_default();
        status.clicks += 1;
        ctx.set_value(&status)?;
        ctx.loopback(ctx.key(), &Recheck { limit: self.limit })
    }
    #[input("user-logins")]
    async fn logged_in(
        &self,
        ctx: &mut Context<'_, Self>,
        name: Option<String>,
    ) -> Result<(), goka::BoxError> {
        let Some(name) = name else {
            return Ok(ctx.delete()?);
        };
        let status = ctx.value()?.unwrap_or_default();
        Ok(ctx.set_value(&Status { name, ..status })?)
    }
    #[input("user-logouts")]
    fn logged_out(&self, ctx: &mut Context<'_, Self>) -> goka::Result {
        ctx.delete()
    }
}
fn main() {
    use goka::Processor;
    let topics = UserStatus::GRAPH.iter().map(|edge| edge.topic.name);
    let expected = [
        "user-clicks",
        "user-logins",
        "user-logouts",
        "user-status-loop",
        "user-status-state",
        "user-warnings",
    ];
    assert_eq!(topics.collect::<Vec<_>>(), expected);
    let _ = goka::App::new(goka::Config::new()).processor(UserStatus::new());
}
