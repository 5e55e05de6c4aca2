//! Prints the code that goes beside errors: everything that is right, an edge to each type that fits, and no checks,
//! so that code that depends on the wrong part does not cause a second error. Must not report anything itself.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;

use crate::{
    ast::Processor,
    edge::{EDGES, EdgeKind},
    expand,
    report::{Errors, point},
};

pub(crate) fn processor(model: &Processor, errors: Errors) -> TokenStream {
    let span = model.name.span();
    let (named, graph) = (expand::named_topics(model), expand::graph(model));
    let methods = expand::methods(model);
    let lost = model.lost.iter().enumerate().map(|(i, path)| {
        let alias = format_ident!("__Lost{i}", span = point(path));
        quote_spanned!(point(path)=> #[allow(dead_code)] type #alias = #path;)
    });
    let edges = EDGES.iter().map(|kind| edges(model, kind));
    let printed = quote_spanned! {span=>
        #named
        #(#lost)*
        #graph
        #methods
        #(#edges)*
    };
    let (errors, printed) = (errors.into_tokens(), expand::with_item(model, printed));
    quote!(#errors #printed)
}

/// Prints the declared edge of a kind that allows only one; for any other kind, prints an edge to each type that fits.
fn edges(model: &Processor, kind: &EdgeKind) -> TokenStream {
    if kind.only_one.is_some() {
        let mut declared = expand::declared(model);
        let declared = declared.find(|topic| topic.kind.keyword == kind.keyword);
        return declared.map_or_else(TokenStream::new, |topic| expand::marker(model, &topic));
    }
    let (processor, span) = (&model.processor, model.name.span());
    let (marker, fits) = (Ident::new(kind.marker, span), Ident::new(kind.fits, span));
    quote_spanned! {span=>
        impl<T> __goka::#marker<T> for #processor where #processor: __goka::#fits<T> {}
    }
}

/// Prints unchanged an item that could not be parsed, so that the names that the item defines still exist.
pub(crate) fn item(item: TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    quote!(#errors #item)
}
