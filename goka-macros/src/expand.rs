//! Prints impls of the traits of `goka`, and nothing that a person could not write by hand: no
//! logic, no `unsafe`. Must not find mistakes.
//!
//! Every token printed has the span of the user's token it is about: rustc points at the whole
//! attribute when one token of an item has none. Names that are printed begin with `__`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Ident, LitStr, Meta, Path, ext::IdentExt, spanned::Spanned};

use crate::{
    ast::{Callee, Handler, Message, Processor, Source, Visitor},
    attr::TopicRef,
    item::{Function, Item},
    policy::OnError,
    report::{at, point},
};

pub(crate) fn processor(model: &Processor) -> TokenStream {
    let (named, graph) = (named_topics(model), graph(model));
    let (edges, handlers, visitors) = (edges(model), handlers(model), visitors(model));
    let checks = checks(model);
    with_item(
        model,
        quote!(#named #graph #edges #handlers #visitors #checks),
    )
}

/// The user's item, and `printed` where no name of it is seen.
pub(crate) fn with_item(model: &Processor, printed: TokenStream) -> TokenStream {
    let span = model.name.span();
    let krate = at(span, model.args.krate(span));
    let item = match &model.item {
        Item::Function(function) => {
            let module = module(&model.name, function, &krate);
            quote!(#function #module)
        }
        Item::Block(block) => block.to_token_stream(),
        Item::Other(tokens) => tokens.clone(),
    };
    quote_spanned! {span=>
        #item
        #[allow(unused_qualifications)]
        const _: () = {
            use #krate as __goka;
            #printed
        };
    }
}

/// For `count::Processor` and `count::Context`: a function and a module may have the same name.
fn module(name: &Ident, function: &Function, krate: &TokenStream) -> TokenStream {
    let vis = &function.vis;
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
    let args = &model.args;
    let table = args.table.iter().enumerate();
    let table = table.map(|numbered| ("Table", "Persists", "table", numbered));
    let joins = args.joins.iter().enumerate();
    let joins = joins.map(|numbered| ("Join", "Joins", "join", numbered));
    let lookups = args.lookups.iter().enumerate();
    let lookups = lookups.map(|numbered| ("Lookup", "Lookups", "lookup", numbered));
    let outputs = args.outputs.iter().enumerate();
    let outputs = outputs.map(|numbered| ("Output", "Emits", "output", numbered));
    let all = table.chain(joins).chain(lookups).chain(outputs);
    all.map(|(name, marker, edge, (i, path))| Declared {
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

/// The stream that a handler reads, under a name of its own: an alias of the user's type, or a type
/// of ours.
fn streams(model: &Processor) -> impl Iterator<Item = (Ident, &Handler)> {
    let numbered = model.handlers.iter().enumerate();
    numbered.map(|(i, handler)| {
        let stream = match &handler.source {
            Source::Input(TopicRef::Path(path)) => format_ident!("__Input{i}", span = point(path)),
            Source::Input(TopicRef::Literal(name)) => {
                format_ident!("__Input{i}", span = name.span())
            }
            Source::Loopback(span) => Ident::new("__Loop", *span),
        };
        (stream, handler)
    })
}

pub(crate) fn graph(model: &Processor) -> TokenStream {
    let (processor, group) = (&model.processor, &model.group);
    let key = match &model.args.key {
        Some(key) => quote!(#key),
        None => quote_spanned!(model.name.span()=> ::std::string::String),
    };
    let guarantee = model.args.guarantee.as_ref().map(|name| {
        let variant = match name == "exactly_once" {
            true => quote_spanned!(name.span()=> ExactlyOnce),
            false => quote_spanned!(name.span()=> AtLeastOnce),
        };
        quote_spanned! {name.span()=>
            const GUARANTEE: ::core::option::Option<__goka::Guarantee> =
                ::core::option::Option::Some(__goka::Guarantee::#variant);
        }
    });
    let read = streams(model).map(|(stream, handler)| {
        let edge = edge(handler.source.edge(), &stream);
        let cfgs = &handler.callee.cfgs;
        quote!(#(#cfgs)* #edge)
    });
    let edges = read.chain(declared(model).map(|topic| edge(topic.edge, &topic.alias)));
    quote_spanned! {model.name.span()=>
        impl __goka::Processor for #processor {
            const GROUP: &'static str = #group;
            type Key = #key;
            const GRAPH: &'static [__goka::Edge<Self>] = &[#(#edges),*];
            #guarantee
        }
    }
}

impl Source {
    fn edge(&self) -> &'static str {
        match self {
            Source::Input(_) => "input",
            Source::Loopback(_) => "loopback",
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

pub(crate) fn handlers(model: &Processor) -> TokenStream {
    let printed = streams(model).map(|(stream, handler)| print_handler(model, handler, &stream));
    printed.collect()
}

/// `Consumes`, and the stream itself where no type was named.
fn print_handler(model: &Processor, handler: &Handler, stream: &Ident) -> TokenStream {
    let (span, cfgs) = (stream.span(), &handler.callee.cfgs);
    let processor = at(span, &model.processor);
    let declared = match &handler.source {
        Source::Input(TopicRef::Path(path)) => {
            quote_spanned!(span=> #(#cfgs)* type #stream = #path;)
        }
        Source::Input(TopicRef::Literal(name)) => anonymous(model, handler, stream, name),
        Source::Loopback(_) => {
            let name = LitStr::new(&format!("{}-loop", model.group.value()), span);
            let stream_of_loop = anonymous(model, handler, stream, &name);
            quote_spanned! {span=>
                #stream_of_loop
                #(#cfgs)*
                impl __goka::Loops<#stream> for #processor {}
            }
        }
    };
    let name = handler.callee.name.span();
    let last = handler.message.as_ref();
    let last = last.map(|message| quote_spanned!(message.ty.span()=> __message));
    let (message, call) = (message(handler, stream), call(model, &handler.callee, last));
    let this = match &model.item {
        Item::Block(_) => quote_spanned!(name=> __this),
        Item::Function(_) | Item::Other(_) => quote_spanned!(name=> _),
    };
    let body = match handler.callee.waits {
        false => quote_spanned!(name=> Now(|#this, __ctx| { #message #call })),
        true => quote_spanned! {name=>
            Later(|#this, __ctx| ::std::boxed::Box::pin(async move { #message #call }))
        },
    };
    // A function gives its name to its processor.
    let named = matches!(model.item, Item::Block(_)).then(|| {
        let text = text(&handler.callee.name);
        quote_spanned!(name=> const NAME: &'static str = #text;)
    });
    let takes_tombstones = |message: &&Message| message.tombstones;
    let message = handler.message.as_ref().filter(takes_tombstones);
    let tombstones =
        message.map(|message| quote_spanned!(message.ty.span()=> const TOMBSTONES: bool = true;));
    let on_error = handler.on_error.as_ref().or(model.args.on_error.as_ref());
    let on_error = on_error.map(OnError::print);
    quote_spanned! {span=>
        #declared
        #(#cfgs)*
        impl __goka::Consumes<#stream> for #processor {
            const HANDLER: __goka::Handler<Self> = __goka::Handler::#body;
            #named
            #tombstones
            #on_error
        }
    }
}

/// The name of a handler, for errors; without the `r#` of one that is a keyword.
fn text(name: &Ident) -> LitStr {
    LitStr::new(&name.unraw().to_string(), name.span())
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

/// `Visits`, for the arguments of each visitor.
pub(crate) fn visitors(model: &Processor) -> TokenStream {
    let numbered = model.visitors.iter().enumerate();
    let printed = numbered.map(|(i, visitor)| print_visitor(model, visitor, i));
    printed.collect()
}

fn print_visitor(model: &Processor, visitor: &Visitor, i: usize) -> TokenStream {
    let Visitor { callee, args, .. } = visitor;
    let on_error = visitor.on_error.as_ref().map(OnError::print);
    let (span, cfgs) = (args.span(), &callee.cfgs);
    let (alias, processor) = (
        format_ident!("__Args{i}", span = span),
        at(span, &model.processor),
    );
    let last = quote_spanned!(span=> __args);
    let call = call(model, callee, Some(last));
    let body = match callee.waits {
        false => quote_spanned!(callee.name.span()=> Now(|__this, __ctx, __args| { #call })),
        true => quote_spanned! {callee.name.span()=>
            Later(|__this, __ctx, __args| ::std::boxed::Box::pin(async move { #call }))
        },
    };
    let text = text(&callee.name);
    quote_spanned! {span=>
        #(#cfgs)*
        type #alias = #args;
        #(#cfgs)*
        impl __goka::Visits<#processor> for #alias {
            const VISITOR: __goka::Visitor<#processor, Self> = __goka::Visitor::#body;
            const NAME: &'static str = #text;
            #on_error
        }
    }
}

/// Calls the user's function, and takes what it returns.
fn call(model: &Processor, callee: &Callee, last: Option<TokenStream>) -> TokenStream {
    let returned = callee.returns.span();
    let name = Ident::new(&callee.name.to_string(), returned);
    let mut args = quote_spanned!(callee.context=> __goka::check::context(__ctx));
    if let Some(last) = last {
        args.extend(quote!(, #last));
    }
    let call = match &model.item {
        Item::Block(_) => {
            let processor = at(returned, &model.processor);
            quote_spanned!(returned=> #processor::#name(__this, #args))
        }
        Item::Function(_) | Item::Other(_) => quote_spanned!(returned=> #name(#args)),
    };
    let wait = callee.waits.then(|| quote_spanned!(returned=> .await));
    quote_spanned!(returned=> __goka::check::outcome(#call #wait))
}

/// The stream of a topic that was named by a literal, or of the loopback: its value is what the
/// handler takes. A loopback is the group's own, and is partitioned as its input.
fn anonymous(model: &Processor, handler: &Handler, stream: &Ident, name: &LitStr) -> TokenStream {
    let (span, cfgs) = (stream.span(), &handler.callee.cfgs);
    let processor = at(span, &model.processor);
    let value = match &handler.message {
        Some(message) => message.ty.to_token_stream(),
        None => quote_spanned!(span=> ::std::vec::Vec<u8>),
    };
    let codec = quote_spanned!(value.span()=> __goka::codec::ByType);
    let is_there = |(_, handler): &(Ident, &Handler)| {
        matches!(handler.source, Source::Input(_)) && handler.callee.cfgs.is_empty()
    };
    let mut inputs = streams(model).filter(is_there);
    let partitioner = match (&handler.source, inputs.next()) {
        (Source::Loopback(_), Some((input, _))) => {
            let input = Ident::new(&input.to_string(), span);
            Some(quote_spanned! {span=>
                const PARTITIONER: __goka::Partitioner = <#input as __goka::Topic>::PARTITIONER;
            })
        }
        _ => None,
    };
    quote_spanned! {span=>
        #(#cfgs)*
        struct #stream;
        #(#cfgs)*
        impl __goka::Topic for #stream {
            type Key = <#processor as __goka::Processor>::Key;
            type Value = #value;
            type Codec = #codec;
            #partitioner
        }
        #(#cfgs)*
        impl __goka::Stream for #stream {
            const NAME: &'static str = #name;
        }
    }
}

/// What only constants tell of each edge, at the token that declares it. Edges are counted as the
/// compiler will, without those that a `#[cfg]` leaves out.
fn checks(model: &Processor) -> TokenStream {
    let read = streams(model).map(|(stream, handler)| (stream, handler.callee.cfgs.as_slice()));
    let others = declared(model).map(|topic| (topic.alias, [].as_slice()));
    let (mut always, mut sometimes) = (0_usize, TokenStream::new());
    let mut checks = TokenStream::new();
    for (topic, cfgs) in read.chain(others) {
        let (i, processor) = (syn::Index::from(always), at(topic.span(), &model.processor));
        checks.extend(quote_spanned! {topic.span()=>
            #(#cfgs)*
            const _: () = __goka::check::edge::<#processor>(#i #sometimes);
        });
        match condition(cfgs, &topic) {
            None => always += 1,
            Some(condition) => sometimes.extend(condition),
        }
    }
    let of_all = model
        .args
        .on_error
        .iter()
        .map(|on_error| (on_error, [].as_slice()));
    let own = model.handlers.iter().filter_map(|handler| {
        let cfgs = handler.callee.cfgs.as_slice();
        Some((handler.on_error.as_ref()?, cfgs))
    });
    checks.extend(
        of_all
            .chain(own)
            .map(|(on_error, cfgs)| on_error.checks(cfgs, &model.processor)),
    );
    for Visitor { mark, callee, .. } in &model.visitors {
        let (cfgs, processor) = (&callee.cfgs, at(*mark, &model.processor));
        checks.extend(quote_spanned! {*mark=>
            #(#cfgs)*
            const _: () = __goka::check::has_table::<#processor>();
        });
    }
    checks
}

/// `+ 1` where all of these hold.
fn condition(cfgs: &[Attribute], topic: &Ident) -> Option<TokenStream> {
    let predicates = cfgs.iter().filter_map(|cfg| match &cfg.meta {
        Meta::List(list) => Some(&list.tokens),
        Meta::Path(_) | Meta::NameValue(_) => None,
    });
    let all = quote_spanned!(topic.span()=> + ::core::cfg!(all(#(#predicates),*)) as usize);
    (!cfgs.is_empty()).then_some(all)
}
