//! What is printed beside errors: all that is right, every edge that fits, and no checks, so that
//! what depends on the wrong part is not a second error. Must not report anything itself.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};

use crate::{
    ast::Processor,
    expand,
    report::{Errors, point},
};

pub(crate) fn processor(model: &Processor, errors: Errors) -> TokenStream {
    let (processor, span) = (&model.processor, model.name.span());
    let (named, graph) = (expand::named_topics(model), expand::graph(model));
    let (handlers, visitors) = (expand::handlers(model), expand::visitors(model));
    let table = expand::declared(model).find(|topic| topic.marker == "Persists");
    let table = table.map(|topic| expand::marker(model, &topic));
    let lost = model.lost.iter().enumerate().map(|(i, path)| {
        let alias = format_ident!("__Lost{i}", span = point(path));
        quote_spanned!(point(path)=> #[allow(dead_code)] type #alias = #path;)
    });
    let printed = quote_spanned! {span=>
        #named
        #(#lost)*
        #graph
        #handlers
        #visitors
        #table
        impl<S> __goka::Emits<S> for #processor where #processor: __goka::Emittable<S> {}
        impl<T> __goka::Joins<T> for #processor where #processor: __goka::Joinable<T> {}
        impl<T> __goka::Lookups<T> for #processor where #processor: __goka::Lookupable<T> {}
    };
    let (errors, printed) = (errors.into_tokens(), expand::with_item(model, printed));
    quote!(#errors #printed)
}

/// What could not be parsed is printed back, so that what it names still exists.
pub(crate) fn item(item: TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    quote!(#errors #item)
}
