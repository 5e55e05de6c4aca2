//! The rules of Kafka for names of topics and groups, as far as a literal shows them. Must not know what is named.

use proc_macro2::Span;
use syn::LitStr;

use crate::report::Errors;

/// Reports a name that Kafka refuses: Kafka allows 1 to 249 characters of `[a-zA-Z0-9._-]`. `what` is "topic" or
/// "group".
pub(crate) fn ensure_name(errors: &mut Errors, literal: &LitStr, what: &str) {
    let value = literal.value();
    // The name of a group's topic is the name of the group with a suffix.
    let longest = if what == "group" { 243 } else { 249 };
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    if value.is_empty() || value.len() > longest {
        errors.at(
            literal,
            format!("a {what} name has 1 to {longest} characters"),
        );
    } else if let Some(bad) = value.chars().find(|c| !is_legal(c)) {
        errors.at(literal, format!("a {what} name cannot contain {bad:?}; Kafka allows letters, digits, `.`, `_` and `-`"));
    } else if value == "." || value == ".." {
        errors.at(
            literal,
            format!("a {what} cannot be named {value:?}; Kafka forbids it"),
        );
    }
}

/// Returns a name in place of a missing name, so that the rest is still printed.
pub(crate) fn stand_in() -> LitStr {
    LitStr::new("missing", Span::call_site())
}
