//! Prints impls of the traits of `goka`, and nothing that a person could not write by hand: no logic, no `unsafe`.
//! Must not look for mistakes.
//!
//! Each printed token has the span of the user's token that it is about: if one token of a printed item has no such
//! span, rustc points at the whole attribute. Printed names begin with `__`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Ident, LitStr, Meta, Path, ext::IdentExt, spanned::Spanned};

use crate::{
    ast::Processor,
    edge::{Edge, EdgeKind},
    item::{Function, Item},
    method::{Callee, Cause, Method},
    policy::OnError,
    report::{at, point},
    word::TopicRef,
};

pub(crate) fn processor(model: &Processor) -> TokenStream {
    let (named, graph) = (named_topics(model), graph(model));
    let (edges, methods, checks) = (edges(model), methods(model), checks(model));
    with_item(model, quote!(#named #graph #edges #methods #checks))
}

/// Returns the user's item, followed by `printed` in a separate scope.
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
            use #krate::__private as __goka;
            #printed
        };
    }
}

/// Prints the module that goes with a processor function. For `fn count`, the module is `mod count` with
/// `count::Processor` and `count::Context`; a function and a module may have the same name.
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

/// An edge of the attribute, with an alias for its topic. The user's path is printed only once, for the alias, so that
/// a wrong path causes one error.
pub(crate) struct Declared<'a> {
    path: &'a Path,
    alias: Ident,
    pub(crate) kind: &'static EdgeKind,
}

pub(crate) fn declared(model: &Processor) -> impl Iterator<Item = Declared<'_>> {
    let edges = model.args.edges.iter();
    edges.map(|Edge { kind, number, path }| Declared {
        path,
        alias: format_ident!("__{}{number}", kind.alias, span = point(path)),
        kind,
    })
}

pub(crate) fn named_topics(model: &Processor) -> TokenStream {
    let named = declared(model).map(|topic| {
        let (alias, path) = (&topic.alias, topic.path);
        quote_spanned!(alias.span()=> type #alias = #path;)
    });
    named.collect()
}

/// The methods that handle records, each with a name for the stream that it reads: an alias of the user's type, or a
/// type that is printed.
fn streams(model: &Processor) -> impl Iterator<Item = (Ident, &Method)> {
    let numbered = model.methods.iter().enumerate();
    numbered.filter_map(|(i, method)| {
        let stream = match &method.cause {
            Cause::Input(TopicRef::Path(path)) => format_ident!("__Input{i}", span = point(path)),
            Cause::Input(TopicRef::Literal(name)) => {
                format_ident!("__Input{i}", span = name.span())
            }
            Cause::Loopback(mark) => Ident::new("__Loop", *mark),
            Cause::Visitor(_) => return None,
        };
        Some((stream, method))
    })
}

pub(crate) fn graph(model: &Processor) -> TokenStream {
    let (processor, group) = (&model.processor, &model.group);
    let key = match &model.args.key {
        Some(key) => quote!(#key),
        None => quote_spanned!(model.name.span()=> ::std::string::String),
    };
    let options = model.args.options.print();
    let read = streams(model).map(|(stream, method)| {
        let edge = edge(method.cause.kind().keyword, &stream);
        let cfgs = &method.callee.cfgs;
        quote!(#(#cfgs)* #edge)
    });
    let edges = read.chain(declared(model).map(|topic| edge(topic.kind.keyword, &topic.alias)));
    quote_spanned! {model.name.span()=>
        impl __goka::Processor for #processor {
            const GROUP: &'static str = #group;
            type Key = #key;
            const GRAPH: &'static [__goka::Edge<Self>] = &[#(#edges),*];
            #options
        }
    }
}

/// Prints an edge. The constructor has the name of the keyword that declares the edge.
fn edge(constructor: &str, topic: &Ident) -> TokenStream {
    let constructor = Ident::new(constructor, topic.span());
    quote_spanned!(topic.span()=> __goka::Edge::#constructor::<#topic>())
}

/// Prints the `impl` of the marker trait of each declared edge.
fn edges(model: &Processor) -> TokenStream {
    declared(model).map(|topic| marker(model, &topic)).collect()
}

pub(crate) fn marker(model: &Processor, topic: &Declared<'_>) -> TokenStream {
    let (alias, span) = (&topic.alias, topic.alias.span());
    let (marker, processor) = (
        Ident::new(topic.kind.marker, span),
        at(span, &model.processor),
    );
    quote_spanned!(span=> impl __goka::#marker<#alias> for #processor {})
}

/// Prints the `impl` of each method, with the types that the `impl` names. One function prints each kind of method.
pub(crate) fn methods(model: &Processor) -> TokenStream {
    let read = streams(model).map(|(stream, method)| consumes(model, method, &stream));
    let rows = model.methods.iter();
    let rows = rows.filter(|method| matches!(method.cause, Cause::Visitor(_)));
    let visited = rows.enumerate().map(|(i, method)| visits(model, method, i));
    read.chain(visited).collect()
}

/// Prints the `impl` of `Consumes`, and also the type of the stream if the user named none.
fn consumes(model: &Processor, method: &Method, stream: &Ident) -> TokenStream {
    let (span, cfgs) = (stream.span(), &method.callee.cfgs);
    let processor = at(span, &model.processor);
    let name = method.callee.name.span();
    let argument = method.argument.as_ref();
    let last = argument.map(|message| quote_spanned!(message.ty.span()=> __message));
    let (message, call) = (message(method, stream), call(model, &method.callee, last));
    let this = match &model.item {
        Item::Block(_) => quote_spanned!(name=> __this),
        Item::Function(_) | Item::Other(_) => quote_spanned!(name=> _),
    };
    let params = quote_spanned!(name=> #this, __ctx);
    let closure = closure(&method.callee, &params, &quote!(#message #call));
    // The processor of a function has the function's name, so the handler needs none.
    let named = matches!(model.item, Item::Block(_)).then(|| named(&method.callee));
    let tombstones = argument.filter(|message| message.tombstones);
    let tombstones = tombstones
        .map(|message| quote_spanned!(message.ty.span()=> const TOMBSTONES: bool = true;));
    let on_error = method.on_error.as_ref().or(model.args.on_error.as_ref());
    let on_error = on_error.map(OnError::print);
    let types = types(model, method, stream);
    quote_spanned! {span=>
        #types
        #(#cfgs)*
        impl __goka::Consumes<#stream> for #processor {
            const HANDLER: __goka::Handler<Self> = __goka::Handler::#closure;
            #named
            #tombstones
            #on_error
        }
    }
}

/// Prints the `impl` of `Visits` for the arguments of a visitor.
fn visits(model: &Processor, method: &Method, i: usize) -> TokenStream {
    let args = method.argument.as_ref().map(|argument| &argument.ty);
    let (span, cfgs) = (args.span(), &method.callee.cfgs);
    let alias = format_ident!("__Args{i}", span = span);
    let processor = at(span, &model.processor);
    let last = quote_spanned!(span=> __args);
    let call = call(model, &method.callee, Some(last));
    let params = quote_spanned!(method.callee.name.span()=> __this, __ctx, __args);
    let closure = closure(&method.callee, &params, &call);
    let named = named(&method.callee);
    let on_error = method.on_error.as_ref().map(OnError::print);
    quote_spanned! {span=>
        #(#cfgs)*
        type #alias = #args;
        #(#cfgs)*
        impl __goka::Visits<#processor> for #alias {
            const VISITOR: __goka::Visitor<#processor, Self> = __goka::Visitor::#closure;
            #named
            #on_error
        }
    }
}

/// Prints the closure that calls a method, as a variant of `Handler` or `Visitor`.
fn closure(callee: &Callee, params: &TokenStream, body: &TokenStream) -> TokenStream {
    let span = callee.name.span();
    match callee.waits {
        false => quote_spanned!(span=> Now(|#params| { #body })),
        true => quote_spanned! {span=>
            Later(|#params| ::std::boxed::Box::pin(async move { #body }))
        },
    }
}

/// Prints the name of a method, for errors, without the `r#` of a keyword.
fn named(callee: &Callee) -> TokenStream {
    let span = callee.name.span();
    let text = LitStr::new(&callee.name.unraw().to_string(), span);
    quote_spanned!(span=> const NAME: &'static str = #text;)
}

/// Prints the code that gets the message, for a handler that takes a message.
fn message(method: &Method, stream: &Ident) -> Option<TokenStream> {
    let message = method.argument.as_ref()?;
    let (ty, span) = (&message.ty, message.ty.span());
    let get = match message.tombstones {
        false => quote_spanned!(span=> message),
        true => quote_spanned!(span=> message_or_tombstone),
    };
    Some(quote_spanned!(span=> let __message = __goka::check::#get::<#stream, #ty>(__ctx)?;))
}

/// Prints the code that calls the user's function and converts what the function returns.
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

/// Prints the stream that a handler reads: an alias of the user's type, or a new type.
fn types(model: &Processor, method: &Method, stream: &Ident) -> TokenStream {
    let (span, cfgs) = (stream.span(), &method.callee.cfgs);
    match &method.cause {
        Cause::Input(TopicRef::Path(path)) => {
            quote_spanned!(span=> #(#cfgs)* type #stream = #path;)
        }
        Cause::Input(TopicRef::Literal(name)) => anonymous(model, method, stream, name, None),
        Cause::Loopback(_) => {
            let name = LitStr::new(&format!("{}-loop", model.group.value()), span);
            let partitioner = partitioner_of_input(model, span);
            let stream_of_loop = anonymous(model, method, stream, &name, partitioner);
            let processor = at(span, &model.processor);
            quote_spanned! {span=>
                #stream_of_loop
                #(#cfgs)*
                impl __goka::Loops<#stream> for #processor {}
            }
        }
        Cause::Visitor(_) => TokenStream::new(),
    }
}

/// Prints the type of a stream for which the user has no type: a topic named by a literal, or the loopback. The value
/// of the stream is the message that the handler takes.
fn anonymous(
    model: &Processor,
    method: &Method,
    stream: &Ident,
    name: &LitStr,
    partitioner: Option<TokenStream>,
) -> TokenStream {
    let (span, cfgs) = (stream.span(), &method.callee.cfgs);
    let processor = at(span, &model.processor);
    let value = match &method.argument {
        Some(message) => message.ty.to_token_stream(),
        None => quote_spanned!(span=> ::std::vec::Vec<u8>),
    };
    let codec = quote_spanned!(value.span()=> __goka::codec::ByType);
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

/// Prints the partitioner of a loopback, which is that of the first input without a `#[cfg]`.
fn partitioner_of_input(model: &Processor, span: Span) -> Option<TokenStream> {
    let mut inputs = streams(model).filter(|(_, method)| {
        matches!(method.cause, Cause::Input(_)) && method.callee.cfgs.is_empty()
    });
    let (input, _) = inputs.next()?;
    let input = Ident::new(&input.to_string(), span);
    Some(quote_spanned! {span=>
        const PARTITIONER: __goka::Partitioner = <#input as __goka::Topic>::PARTITIONER;
    })
}

/// Prints the constants with which goka checks each edge (at the token that declares the edge), checks dead letters,
/// and checks that a group with visitors has a table. The index of an edge does not count the edges that a `#[cfg]`
/// leaves out, because the compiler does not count them either.
fn checks(model: &Processor) -> TokenStream {
    let read = streams(model).map(|(stream, method)| (stream, method.callee.cfgs.as_slice()));
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
    let of_all = model.args.on_error.iter();
    checks.extend(of_all.map(|on_error| on_error.checks(&[], &model.processor)));
    let own = model.methods.iter().filter_map(|method| {
        let on_error = method.on_error.as_ref()?;
        Some(on_error.checks(&method.callee.cfgs, &model.processor))
    });
    checks.extend(own);
    for method in &model.methods {
        if let Cause::Visitor(mark) = &method.cause {
            let (cfgs, processor) = (&method.callee.cfgs, at(*mark, &model.processor));
            checks.extend(quote_spanned! {*mark=>
                #(#cfgs)*
                const _: () = __goka::check::has_table::<#processor>();
            });
        }
    }
    checks
}

/// Prints `+ 1`, which applies if all predicates of these `#[cfg]`s hold.
fn condition(cfgs: &[Attribute], topic: &Ident) -> Option<TokenStream> {
    let predicates = cfgs.iter().filter_map(|cfg| match &cfg.meta {
        Meta::List(list) => Some(&list.tokens),
        Meta::Path(_) | Meta::NameValue(_) => None,
    });
    let all = quote_spanned!(topic.span()=> + ::core::cfg!(all(#(#predicates),*)) as usize);
    (!cfgs.is_empty()).then_some(all)
}
