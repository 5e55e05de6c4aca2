//! Attribute macros of `goka`. Each runs the same stages: [`attr`] and [`ast`] parse tokens into a
//! model, [`check`] looks for mistakes that only the whole model shows, [`expand`] and [`topic`]
//! print impls, [`fallback`] prints what is left beside errors, [`report`] collects these.
//!
//! The traits of `goka` are the product: whatever is printed here can be written by hand. rustc
//! reports types, the macros report syntax, constants report names; a mistake is one error, at the
//! user's token, with the cure.

mod ast;
mod attr;
mod check;
mod expand;
mod fallback;
mod report;
mod topic;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use report::Errors;

/// Makes a processor of a function: its one handler.
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
    let model = match ast::Processor::parse(&mut errors, args, item) {
        Err(rest) => return fallback::item(rest, errors),
        Ok(model) => model,
    };
    check::processor(&mut errors, &model);
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
