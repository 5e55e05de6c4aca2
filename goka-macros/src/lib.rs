//! Attribute macros of `goka`. Each runs the same stages: `attr`, `item` and `ast` parse tokens
//! into a model, `signature` and `check` look for mistakes, `expand` and `topic` print impls,
//! `fallback` prints what is left beside errors, `report` collects these.
//!
//! The traits of `goka` are the product: whatever is printed here can be written by hand. rustc
//! reports types, the macros report syntax, constants report names; a mistake is one error, at the
//! user's token, with the cure.
//!
//! # Learned by compiling
//!
//! What rustc makes of printed code is known from trying. `ui-tests` holds on to it.
//!
//! 1. Every token of a printed item needs the span of a user's token, `format_ident!` and
//!    interpolated paths too: one without, and rustc underlines the whole attribute.
//!    `span.resolved_at(call_site)` brings back the note "originates in the attribute macro":
//!    tokens of ours get the span whole, tokens of the user are moved by `report::at`.
//! 2. Stable Rust cannot join spans: rustc underlines the first token. It is chosen: the last
//!    segment of a path, `one` in `&mut one::Context`.
//! 3. A user's path is printed once, as an alias, and the alias is used: a wrong name is one error
//!    instead of one per place, and the texts still show the user's type.
//! 4. Bounds are asked once. Those of supertraits are implied where a trait is used, so whether a
//!    type fits is asked by a supertrait (`Emits: Emittable`), in the `impl` that declares the edge.
//! 5. A bound without an inference variable fails in method probing, E0599, and its text is lost:
//!    the traits of edges have a type parameter which the context's methods leave open.
//! 6. `do_not_recommend` stops rustc from descending into an `impl`: right for codecs, whose serde
//!    bounds are noise, wrong where the inner text is the better one. It does not reach projections.
//! 7. Constants are asked through what is declared, `P::GRAPH`, and not through a topic's own
//!    traits: a type that does not fit is then no second error. `#[track_caller]` on the `const fn`s
//!    of `goka::check` leaves the user's token as the only place that is shown.
//! 8. A return type that is wrong is spanned at what the user wrote, within `check::outcome`: else
//!    rustc suggests `fn Ok(..)`.
//! 9. The fallback keeps everything that is right: the function with its body, its module, the edges
//!    that fit. So there are no unused imports and no second errors, and completion goes on.
//! 10. "Missing" is reported only where nothing else is wrong: it may be what was meant there.
//! 11. Bodies are never parsed, so that a half-typed one is rustc's and the editor's.
//! 12. Names that are printed begin with `__`, parameters of closures too: a handler called
//!     `message` would be shadowed. Those that handlers name are in the printed module, those that
//!     the attribute names outside of it: each is resolved where the user would expect it.

mod ast;
mod attr;
mod check;
mod edge;
mod expand;
mod fallback;
mod item;
mod method;
mod name;
mod options;
mod parse;
mod policy;
mod refuse;
mod report;
mod signature;
mod topic;
mod word;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use report::Errors;

/// Makes a processor of a function, its one handler, or of an `impl` block with several.
#[proc_macro_attribute]
pub fn processor(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_processor(args.into(), item.into()).into()
}

/// A topic of events.
#[proc_macro_attribute]
pub fn stream(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_topic(topic::stream, args.into(), item.into()).into()
}

/// The state of a group.
#[proc_macro_attribute]
pub fn table(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_topic(topic::table, args.into(), item.into()).into()
}

/// A message that is not a topic of its own: of a loopback, or of a topic named by a literal.
#[proc_macro_attribute]
pub fn message(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_topic(topic::message, args.into(), item.into()).into()
}

fn print_processor(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut model = match ast::Processor::parse(&mut errors, args, item) {
        Err(rest) => return fallback::item(rest, errors),
        Ok(model) => model,
    };
    check::processor(&mut errors, &mut model);
    match errors.is_empty() {
        true => expand::processor(&model),
        false => fallback::processor(&model, errors),
    }
}

type Printer = fn(&mut Errors, TokenStream, TokenStream) -> Option<TokenStream>;

fn print_topic(print: Printer, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let printed = print(&mut errors, args, item.clone());
    fallback::item(printed.unwrap_or(item), errors)
}
