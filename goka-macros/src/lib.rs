//! The attribute macros of [`goka`](https://docs.rs/goka), which re-exports and documents them: depend on `goka`, not
//! on this crate.
//!
//! Each macro runs the same stages:
//!
//! | stage | files |
//! |---|---|
//! | parse tokens into a model | `attr`, `options`, `item`, `method`, `ast` |
//! | report mistakes | `refuse` (of an item), `signature` (of a function), `check` (of the model) |
//! | print impls | `expand`, `topic`; beside errors `fallback` prints what is right |
//!
//! Files import only what stands above them in this list: `report`, `item`, `edge`; `name`, `parse`, `signature`,
//! `word`; `policy`, `options`; `attr`, `method`; `refuse`; `ast`, `topic`; `check`, `expand`; `fallback`. A kind of
//! edge is a row of `edge.rs`, a kind of method a row of `method.rs`, an option a field of `options.rs`.
//!
//! The traits of `goka` are the product: whatever a macro prints can be written by hand. rustc reports mistakes in
//! types, the macros report mistakes in syntax, constants report mistakes in names. A mistake is one error, at the
//! user's token, and says how to fix it.
//!
//! # What rustc does with printed code
//!
//! Found by trying; the tests in `ui-tests` keep it so.
//!
//! 1. Every token of a printed item needs the span of a user's token, those of `format_ident!` and of interpolated
//!    paths too: if one has none, rustc underlines the whole attribute. `span.resolved_at(call_site)` brings back the
//!    note "originates in the attribute macro", so the macro's own tokens get the user's span as it is, and
//!    `report::at` moves tokens of the user.
//! 2. Stable Rust cannot join spans: rustc underlines the first token. The macros choose that token: the last segment
//!    of a path, `one` in `&mut one::Context`.
//! 3. A user's path is printed once, as an alias, and the alias is used elsewhere: a wrong name is one error instead
//!    of one per place, and the texts still show the user's type.
//! 4. Bounds are asked once. rustc implies the bounds of supertraits where a trait is used, so a supertrait asks
//!    whether a type fits (`Emits: Emittable`), in the `impl` that declares the edge.
//! 5. A bound without an inference variable fails in method probing, E0599, and rustc drops its text: the traits of
//!    edges have a type parameter that the methods of the context leave open.
//! 6. `do_not_recommend` stops rustc from descending into an `impl`: right for codecs, whose serde bounds are noise,
//!    wrong where the inner text is the better one. It has no effect on projections.
//! 7. Constants are asked through what is declared, `P::GRAPH`, and not through a topic's own traits: then a type
//!    that does not fit is not a second error. `#[track_caller]` on goka's `const fn`s leaves the user's token as the
//!    only place that rustc shows.
//! 8. The span of a wrong return type is what the user wrote, within `outcome(..)`: otherwise rustc suggests `fn
//!    Ok(..)`.
//! 9. The fallback keeps everything that is right: the function with its body, its module, the edges that fit. So
//!    there are no unused imports and no second errors, and editors go on completing.
//! 10. A missing argument is reported only where nothing else is wrong: the wrong argument may be the missing one.
//! 11. Bodies are never parsed: mistakes in a half-typed body are left to rustc and to the editor.
//! 12. Printed names begin with `__`, parameters of closures too: otherwise they would shadow a handler called
//!     `message`. Names that handlers write are in the printed module, names that the attribute writes are outside of
//!     it: each is resolved where the user expects it.

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

/// Makes a processor of a function (one handler) or of an `impl` block (several). Documented at `goka::processor`.
#[proc_macro_attribute]
pub fn processor(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_processor(args.into(), item.into()).into()
}

/// Declares a topic of events. Documented at `goka::stream`.
#[proc_macro_attribute]
pub fn stream(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_topic(topic::stream, args.into(), item.into()).into()
}

/// Declares the table of a group. Documented at `goka::table`.
#[proc_macro_attribute]
pub fn table(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    print_topic(topic::table, args.into(), item.into()).into()
}

/// Declares a message that is not a topic of its own. Documented at `goka::message`.
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
