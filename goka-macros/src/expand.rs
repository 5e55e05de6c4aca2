//! Prints impls of the traits of `goka`, and nothing that a person could not write by hand: no
//! logic, no `unsafe`. Must not find mistakes.
//!
//! Every token printed has the span of the user's token it is about: rustc points at the whole
//! attribute when one token of an item has none. Names that are printed begin with `__`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, Path, spanned::Spanned};

use crate::{
    ast::{Handler, Message, Processor},
    attr::TopicRef,
    report::{at, point},
};

pub(crate) fn processor(model: &Processor) -> TokenStream {
    let (named, graph) = (named_topics(model), graph(model));
    let (edges, handler, checks) = (edges(model), handler(model), checks(model));
    with_item(model, quote!(#named #graph #edges #handler #checks))
}

/// The function as it was, the module that has its name, and `printed` where no name of it is seen.
pub(crate) fn with_item(model: &Processor, printed: TokenStream) -> TokenStream {
    let span = model.name.span();
    let krate = at(span, model.args.krate(span));
    let (function, module) = (&model.function, module(model, &krate));
    quote_spanned! {span=>
        #function
        #module
        #[allow(unused_qualifications)]
        const _: () = {
            use #krate as __goka;
            #printed
        };
    }
}

/// For `count::Processor` and `count::Context`: a function and a module may have the same name.
fn module(model: &Processor, krate: &TokenStream) -> TokenStream {
    let (name, vis) = (&model.name, &model.function.vis);
    let about = format!("The processor of the handler [`{name}`](fn@{name}).");
    quote_spanned! {name.span()=>
        #[doc = #about]
        #[allow(unreachable_pub)]
        #vis mod #name {
            /// The processor, to be run.
            #[derive(Debug)]
            pub struct Processor;
            /// The context of its handler.
            pub type Context<'a> = #krate::Context<'a, Processor>;
        }
    }
}

/// A topic that the attribute declares an edge to.
pub(crate) struct Declared<'a> {
    path: &'a Path,
    /// Its name in what is printed: the user's path is printed once, so that a wrong one is one
    /// error.
    alias: Ident,
    pub(crate) marker: &'static str,
    edge: &'static str,
}

pub(crate) fn declared(model: &Processor) -> impl Iterator<Item = Declared<'_>> {
    let table = model.args.table.iter().enumerate();
    let outputs = model.args.outputs.iter().enumerate();
    let table = table.map(|numbered| ("Table", "Persists", "table", numbered));
    let outputs = outputs.map(|numbered| ("Output", "Emits", "output", numbered));
    table
        .chain(outputs)
        .map(|(name, marker, edge, (i, path))| Declared {
            path,
            alias: format_ident!("__{name}{i}", span = point(path)),
            marker,
            edge,
        })
}

pub(crate) fn named_topics(model: &Processor) -> TokenStream {
    let named = declared(model).map(|topic| {
        let (alias, path) = (&topic.alias, topic.path);
        quote_spanned!(alias.span()=> type #alias = #path;)
    });
    named.collect()
}

pub(crate) fn graph(model: &Processor) -> TokenStream {
    let (processor, group) = (&model.processor, &model.group);
    let key = match &model.args.key {
        Some(key) => quote!(#key),
        None => quote_spanned!(model.name.span()=> ::std::string::String),
    };
    let input = model.handler.iter();
    let input = input.map(|handler| edge("input", &stream(handler)));
    let edges = input.chain(declared(model).map(|topic| edge(topic.edge, &topic.alias)));
    quote_spanned! {model.name.span()=>
        impl __goka::Processor for #processor {
            const GROUP: &'static str = #group;
            type Key = #key;
            const GRAPH: &'static [__goka::Edge<Self>] = &[#(#edges),*];
        }
    }
}

fn edge(kind: &str, topic: &Ident) -> TokenStream {
    let kind = Ident::new(kind, topic.span());
    quote_spanned!(topic.span()=> __goka::Edge::#kind::<#topic>())
}

/// The marker of each declared edge.
fn edges(model: &Processor) -> TokenStream {
    declared(model).map(|topic| marker(model, &topic)).collect()
}

pub(crate) fn marker(model: &Processor, topic: &Declared<'_>) -> TokenStream {
    let (alias, span) = (&topic.alias, topic.alias.span());
    let (marker, processor) = (Ident::new(topic.marker, span), at(span, &model.processor));
    quote_spanned!(span=> impl __goka::#marker<#alias> for #processor {})
}

/// `Consumes`, and the stream itself where no type was named.
pub(crate) fn handler(model: &Processor) -> Option<TokenStream> {
    let handler = model.handler.as_ref()?;
    let stream = stream(handler);
    let processor = at(stream.span(), &model.processor);
    let declared = match &handler.input {
        TopicRef::Path(path) => quote_spanned!(stream.span()=> type #stream = #path;),
        TopicRef::Literal(name) => anonymous(model, handler, &stream, name),
    };
    let (message, call) = (message(handler, &stream), call(handler));
    let span = handler.name.span();
    let body = match handler.waits {
        false => quote_spanned!(span=> Now(|_, __ctx| { #message #call })),
        true => quote_spanned! {span=>
            Later(|_, __ctx| ::std::boxed::Box::pin(async move { #message #call }))
        },
    };
    let takes = |message: &&Message| message.tombstones;
    let tombstones = handler
        .message
        .as_ref()
        .filter(takes)
        .map(|message| quote_spanned!(message.ty.span()=> const TOMBSTONES: bool = true;));
    Some(quote_spanned! {stream.span()=>
        #declared
        impl __goka::Consumes<#stream> for #processor {
            const HANDLER: __goka::Handler<Self> = __goka::Handler::#body;
            #tombstones
        }
    })
}

/// Gets the message, for a handler that takes it.
fn message(handler: &Handler, stream: &Ident) -> Option<TokenStream> {
    let message = handler.message.as_ref()?;
    let (ty, span) = (&message.ty, message.ty.span());
    let get = match message.tombstones {
        false => quote_spanned!(span=> message),
        true => quote_spanned!(span=> message_or_tombstone),
    };
    Some(quote_spanned!(span=> let __message = __goka::check::#get::<#stream, #ty>(__ctx)?;))
}

/// Calls the user's function, and takes what it returns.
fn call(handler: &Handler) -> TokenStream {
    let returned = handler.returns.span();
    let name = Ident::new(&handler.name.to_string(), returned);
    let mut args = quote_spanned!(handler.context=> __goka::check::context(__ctx));
    if let Some(message) = &handler.message {
        args.extend(quote_spanned!(message.ty.span()=> , __message));
    }
    let wait = handler.waits.then(|| quote_spanned!(returned=> .await));
    quote_spanned!(returned=> __goka::check::outcome(#name(#args)#wait))
}

/// The stream that a handler reads, under a name of its own: an alias of the user's type, or a type
/// of ours.
fn stream(handler: &Handler) -> Ident {
    let span = match &handler.input {
        TopicRef::Path(path) => point(path),
        TopicRef::Literal(name) => name.span(),
    };
    Ident::new("__Input0", span)
}

/// The stream of a topic that was named by a literal: its value is what the handler takes.
fn anonymous(
    model: &Processor,
    handler: &Handler,
    stream: &Ident,
    name: &syn::LitStr,
) -> TokenStream {
    let span = stream.span();
    let processor = at(span, &model.processor);
    let value = match &handler.message {
        Some(message) => message.ty.to_token_stream(),
        None => quote_spanned!(span=> ::std::vec::Vec<u8>),
    };
    let codec = quote_spanned!(value.span()=> __goka::codec::ByType);
    quote_spanned! {span=>
        struct #stream;
        impl __goka::Topic for #stream {
            type Key = <#processor as __goka::Processor>::Key;
            type Value = #value;
            type Codec = #codec;
        }
        impl __goka::Stream for #stream {
            const NAME: &'static str = #name;
        }
    }
}

/// What only constants tell of each edge, at the token that declares it.
fn checks(model: &Processor) -> TokenStream {
    let input = model.handler.iter().map(stream);
    let topics = input.chain(declared(model).map(|topic| topic.alias));
    let checks = topics.enumerate().map(|(i, topic)| {
        let i = syn::Index::from(i);
        let processor = at(topic.span(), &model.processor);
        quote_spanned!(topic.span()=> const _: () = __goka::check::edge::<#processor>(#i);)
    });
    checks.collect()
}
