//! Parses lists of arguments: `name = value`, `name(values)`. A wrong argument is reported and skipped, so that the
//! rest of the list is still checked. Must not know which arguments an attribute has.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Ident, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
};

use crate::report::Errors;

/// Parses `name = value` and `name(values)`, separated by commas; `one` parses the tokens that follow a name.
pub(crate) fn each(
    errors: &mut Errors,
    tokens: TokenStream,
    mut one: impl FnMut(&mut Errors, &Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let argument = match input.call(Ident::parse_any) {
                Ok(name) => one(errors, &name, input),
                Err(_) => Err(input.error("expected an argument, `name = value`")),
            };
            if errors.take(argument).is_none() {
                skip(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    let parsed = parser.parse2(tokens);
    errors.take(parsed);
}

/// Skips the rest of an argument, up to the comma.
pub(crate) fn skip(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

/// Parses `= value`.
pub(crate) fn assigned<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// Parses `= "name"`.
pub(crate) fn assigned_name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Token![=]>()?;
    literal(input)
}

/// Parses a name, which must be a literal, because the macro derives other names from it.
pub(crate) fn literal(input: ParseStream<'_>) -> syn::Result<LitStr> {
    match input.peek(LitStr) {
        true => input.parse(),
        false => Err(input.error(
            "expected a string literal: goka checks names of groups and topics at compile time",
        )),
    }
}

/// Parses `= T` or `(T, U)`: types declared with the attribute `of`.
pub(crate) fn listed_types(
    errors: &mut Errors,
    name: &Ident,
    of: &str,
    input: ParseStream<'_>,
) -> syn::Result<Vec<Path>> {
    let path = |input: ParseStream<'_>| match input.peek(Lit) {
        true => Err(input.error(format!("expected a type declared with {of}"))),
        false => input.parse(),
    };
    let found = if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        vec![path(input)?]
    } else {
        list(input, path)?
    };
    if found.is_empty() {
        errors.at(
            name,
            format!("`{name}` is empty: list types declared with {of}"),
        );
    }
    Ok(found)
}

/// Whether both paths are written with the same tokens.
pub(crate) fn is_same_path(one: &Path, other: &Path) -> bool {
    quote!(#one).to_string() == quote!(#other).to_string()
}

/// Parses `(X, Y)`.
pub(crate) fn list<T>(
    input: ParseStream<'_>,
    one: impl Fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let content;
    syn::parenthesized!(content in input);
    let mut found = Vec::new();
    while !content.is_empty() {
        match one(&content) {
            Ok(item) => found.push(item),
            Err(error) => {
                // Otherwise syn would report tokens that are left unread as a second error.
                content.parse::<TokenStream>()?;
                return Err(error);
            }
        }
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(found)
}

/// Keeps `value` if it is the first value of the argument `name`; otherwise reports the argument.
pub(crate) fn once<T>(errors: &mut Errors, name: &Ident, slot: &mut Option<T>, value: T) {
    once_by(errors, name, slot, value, "remove one of the two");
}

/// Like [`once`]; the error text ends with `rule`.
pub(crate) fn once_by<T>(
    errors: &mut Errors,
    name: &Ident,
    slot: &mut Option<T>,
    value: T,
    rule: &str,
) {
    match slot {
        None => *slot = Some(value),
        Some(_) => twice(errors, name, rule),
    }
}

/// Reports an argument that is given a second time.
pub(crate) fn twice(errors: &mut Errors, name: &Ident, rule: &str) {
    errors.at(name, format!("`{name}` is given twice: {rule}"));
}

/// Reports an argument that does not exist and skips its value.
pub(crate) fn unknown(
    errors: &mut Errors,
    name: &Ident,
    input: ParseStream<'_>,
    hint: &str,
    known: &str,
) -> syn::Result<()> {
    errors.at(
        name,
        format!("unknown argument `{name}`{hint}\nthe arguments are {known}"),
    );
    skip(input)
}
