//! The attribute macros of [`goka`](https://docs.rs/goka). That crate re-exports and documents the macros: depend on
//! `goka`, not on this crate.
//!
//! Each macro runs the same stages:
//!
//! | stage | files |
//! |---|---|
//! | parse tokens into a model | `attr`, `options`, `item`, `method`, `ast` |
//! | report mistakes | `refuse` (of an item), `signature` (of a function), `check` (of the model) |
//! | print impls | `expand`, `topic`; if there are errors, `fallback` prints the parts that are right |
//!
//! Files import only files that stand before them in this list: `report`, `item`, `edge`; `name`, `parse`,
//! `signature`, `word`; `policy`, `options`; `attr`, `method`; `refuse`; `ast`, `topic`; `check`, `expand`;
//! `fallback`. A kind of edge is a row of `edge.rs`, a kind of method a row of `method.rs`, an option a field of
//! `options.rs`.
//!
//! The traits of `goka` are the product: whatever a macro prints can be written by hand. rustc reports mistakes in
//! types, the macros report mistakes in syntax, constants report mistakes in names. Each mistake causes one error,
//! which points at the user's token and says how to fix the mistake.
//!
//! # What rustc does with printed code
//!
//! These facts were found by trying. The tests in `ui-tests` check that they still hold.
//!
//! 1. Every token of a printed item needs the span of a user's token, even the tokens of `format_ident!` and of
//!    interpolated paths: if one token has no such span, rustc underlines the whole attribute.
//!    `span.resolved_at(call_site)` would bring back the note "originates in the attribute macro". So the macro's own
//!    tokens get the user's span unchanged, and `report::at` moves tokens of the user to another span.
//! 2. Stable Rust cannot join spans, so rustc underlines only the first token. The macros choose which token that is:
//!    the last segment of a path, but `one` in `&mut one::Context`.
//! 3. A user's path is printed once, to define an alias, and the alias is used elsewhere. So a wrong name causes one
//!    error instead of one error per place, and the error texts still show the user's type.
//! 4. Each bound is checked once. Where a trait is used, rustc assumes the bounds of its supertraits. So a supertrait
//!    says whether a type fits (`Emits: Emittable`), and rustc checks this only in the `impl` that declares the edge.
//! 5. A bound without an inference variable fails in method probing (E0599), and rustc then drops the error text of
//!    the trait. So the traits of edges have a type parameter that the methods of the context leave open.
//! 6. `do_not_recommend` stops rustc from descending into an `impl`. This is right for codecs, whose serde bounds are
//!    noise, and wrong where the text of the inner bound is better. The attribute has no effect on projections.
//! 7. The checks read constants through the declared graph, `P::GRAPH`, and not through a topic's own traits, so that
//!    a type that does not fit does not cause a second error. With `#[track_caller]` on goka's `const fn`s, the user's
//!    token is the only place that rustc shows.
//! 8. The printed call `outcome(..)`, with the call inside it, has the span of the return type that the user wrote.
//!    Otherwise, for a wrong return type, rustc suggests `fn Ok(..)`.
//! 9. The fallback keeps everything that is right: the function with its body, its module, the edges that fit. So
//!    there are no unused imports and no second errors, and completion in editors continues to work.
//! 10. A missing argument is reported only if nothing else is wrong, because a wrong argument may be meant as the
//!     missing argument.
//! 11. Bodies are never parsed: mistakes in a half-typed body are left to rustc and to the editor.
//! 12. Printed names begin with `__`, even the parameters of closures: otherwise a parameter could shadow a handler
//!     called `message`. Names that the user writes in a handler are in the printed module; names that the user writes
//!     in the attribute are outside that module. So each name is resolved where the user expects it.

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

/// Makes a processor of a function (one handler) or of an `impl` block (several handlers). Documented at
/// `goka::processor`.
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
