//! Collects errors, so that a user sees all mistakes of one attribute together, and chooses the tokens that rustc
//! underlines. Must not know what the mistakes are.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::Path;

#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.0.push(syn::Error::new_spanned(tokens, message));
    }

    /// Reports something that is missing. There is no token to point at, so rustc underlines the attribute.
    pub(crate) fn missing(&mut self, message: impl Display) {
        self.0.push(syn::Error::new(Span::call_site(), message));
    }

    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.iter().map(syn::Error::to_compile_error).collect()
    }
}

/// Moves tokens to `span`, because rustc points at the whole attribute when the tokens of one item come from several
/// places.
pub(crate) fn at(span: Span, tokens: impl ToTokens) -> TokenStream {
    let tokens = tokens.to_token_stream().into_iter();
    let moved = tokens.map(|mut token| {
        token.set_span(span.resolved_at(token.span()));
        token
    });
    moved.collect()
}

/// Returns where rustc should point for a path: at its last segment, because stable Rust cannot join spans.
pub(crate) fn point(path: &Path) -> Span {
    let last = path.segments.last();
    last.map_or_else(Span::call_site, |last| last.ident.span())
}
