//! `goka` under another name, in all attributes.
extern crate goka as streams;

#[streams::stream("user-clicks", crate = crate::streams)]
pub struct Click {
    pub page: String,
}
#[streams::table(crate = crate::streams, value = u64)]
pub struct Clicks;
#[streams::message(crate = crate::streams)]
pub struct Again {
    pub page: String,
}

#[streams::processor(crate = crate::streams, group = "count", input = Click, table = Clicks)]
fn count(ctx: &mut count::Context) -> streams::Result {
    ctx.set_value(&1)
}
fn main() {}
