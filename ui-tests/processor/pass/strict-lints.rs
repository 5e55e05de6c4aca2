//! Strict lints and no prelude: what the macros print must pass both.
#![no_implicit_prelude]
#![deny(missing_docs, unreachable_pub, unused_qualifications, rust_2018_idioms)]
#![deny(non_camel_case_types, private_interfaces, private_bounds, unnameable_types)]
#![deny(elided_lifetimes_in_paths, single_use_lifetimes, missing_debug_implementations, unused)]
use ::api::{Click, ClickCount, Warnings};
use ::goka::{Partitioner, Processor, Topic};

/// Counts clicks.
#[::goka::processor(group = "click-count", input = Click, table = ClickCount, output(Warnings))]
pub fn count(ctx: &mut count::Context<'_>, click: Click) -> ::goka::Result {
    ctx.emit::<Warnings>(ctx.key(), &click.page)?;
    ctx.set_value(&1)
}

/// Named like what is printed.
#[::goka::processor(group = "message", input = "messages")]
pub async fn message(_ctx: &mut message::Context<'_>, _message: ::std::string::String) {}

/// A tombstone deletes the row.
#[::goka::processor(group = "seen", input = "messages", table = Seen)]
fn seen(ctx: &mut seen::Context<'_>, _at: ::std::option::Option<u64>) -> ::goka::Result {
    ctx.delete()
}

/// Several handlers.
#[derive(Debug)]
pub struct Several;

#[::goka::processor(group = "several", output(Warnings))]
impl Several {
    #[input(Click)]
    fn clicked(&self, ctx: &mut ::goka::Context<'_, Self>, click: Click) -> ::goka::Result {
        ctx.loopback("bob", &click.page)
    }
    #[input("user-logins")]
    async fn login(&self, _ctx: &mut ::goka::Context<'_, Self>, _at: ::std::option::Option<u64>) {}
    #[loopback]
    fn again(&self, ctx: &mut ::goka::Context<'_, Self>, page: ::std::string::String) {
        ctx.emit::<Warnings>(ctx.key(), &page).unwrap();
    }
}

/// A bare table.
#[::goka::table(partitioner = murmur2)]
#[derive(Debug)]
enum Seen {
    _Never,
    _At { _time: u64 },
}
fn main() {
    ::std::assert_eq!(<count::Processor as Processor>::GROUP, "click-count");
    ::std::assert_eq!(<seen::Processor as Processor>::GRAPH.len(), 2);
    ::std::assert_eq!(<Seen as Topic>::PARTITIONER, Partitioner::Murmur2);
}
