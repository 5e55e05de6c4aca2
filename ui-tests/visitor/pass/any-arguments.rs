//! Arguments of types that are not of this crate, and of several visitors.
use std::{collections::HashMap, sync::Arc};

use goka::{Context, graph::{Visitor, Visits}};

struct Status;

#[goka::processor(group = "click-count", table = api::ClickCount)]
impl Status {
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut Context<'_, Self>) {}
    #[visitor]
    fn nothing(&self, ctx: &mut Context<'_, Self>, (): ()) -> goka::Result {
        ctx.delete()
    }
    #[visitor]
    fn number(&self, ctx: &mut Context<'_, Self>, to: i64) -> goka::Result {
        ctx.set_value(&to)
    }
    #[visitor]
    async fn map(
        &self,
        ctx: &mut Context<'_, Self>,
        to: Arc<HashMap<String, i64>>,
    ) -> Result<(), std::io::Error> {
        let to = to.get(ctx.key()).copied().unwrap_or(0);
        ctx.set_value(&to).map_err(std::io::Error::other)
    }
    #[visitor]
    fn maybe(&self, _ctx: &mut Context<'_, Self>, _to: Option<String>) {}
}

fn waits<A: Visits<Status>>() -> bool {
    matches!(A::VISITOR, Visitor::Later(_))
}

fn main() {
    assert!(!waits::<()>() && !waits::<i64>() && !waits::<Option<String>>());
    assert!(waits::<Arc<HashMap<String, i64>>>());
}
