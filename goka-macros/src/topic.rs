//! Prints what `#[stream]`, `#[table]` and `#[message]` make of a type: the name, key, value and codec of a topic.
//! Must not know processors.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{DeriveInput, LitStr, Path, punctuated::Punctuated, spanned::Spanned};

use crate::{
    attr::{TopicArgs, TopicKind},
    name::ensure_name,
    refuse,
    report::{Errors, at},
};

pub(crate) fn stream(
    errors: &mut Errors,
    args: TokenStream,
    item: TokenStream,
) -> Option<TokenStream> {
    let args = TopicArgs::parse(errors, TopicKind::Stream, args);
    let item = refuse::ensure_struct_or_enum(errors, item)?;
    refuse::ensure_topic_type(errors, &args, &item);
    match &args.topic {
        Some(name) => ensure_name(errors, name, "topic"),
        None if errors.is_empty() => {
            errors.missing("missing the name of the topic: `#[goka::stream(\"topic\")]`");
        }
        None => {}
    }
    let ident = &item.ident;
    let name = args.topic.as_ref().map(LitStr::value).unwrap_or_default();
    let stream = quote_spanned! {ident.span()=>
        impl __goka::Stream for #ident {
            const NAME: &'static str = #name;
        }
    };
    Some(topic(errors, &args, &item, stream))
}

pub(crate) fn table(
    errors: &mut Errors,
    args: TokenStream,
    item: TokenStream,
) -> Option<TokenStream> {
    let args = TopicArgs::parse(errors, TopicKind::Table, args);
    let item = refuse::ensure_struct_or_enum(errors, item)?;
    refuse::ensure_topic_type(errors, &args, &item);
    if let Some(group) = &args.group {
        ensure_name(errors, group, "group");
    }
    if let Some(name) = &args.topic {
        ensure_name(errors, name, "topic");
        if args.group.is_none() && errors.is_empty() {
            errors.at(name, "a table without `group` has the topic `<group>-state` of its processor; to name another topic, add `group = \"...\"`");
        }
    }
    let ident = &item.ident;
    let options = args.options.of_table();
    let table = match &args.group {
        None => quote_spanned! {ident.span()=>
            impl __goka::Table for #ident {
                const HOME: ::core::option::Option<__goka::Home> = ::core::option::Option::None;
                #options
            }
        },
        Some(group) => {
            let chosen = args.topic.as_ref().map(LitStr::value);
            let name = chosen.unwrap_or_else(|| format!("{}-state", group.value()));
            let group = group.value();
            quote_spanned! {ident.span()=>
                impl __goka::Table for #ident {
                    const HOME: ::core::option::Option<__goka::Home> = ::core::option::Option::Some(
                        __goka::Home { group: #group, topic: #name },
                    );
                    #options
                }
                impl __goka::SharedTable for #ident {}
            }
        }
    };
    Some(topic(errors, &args, &item, table))
}

pub(crate) fn message(
    errors: &mut Errors,
    args: TokenStream,
    item: TokenStream,
) -> Option<TokenStream> {
    let args = TopicArgs::parse(errors, TopicKind::Message, args);
    let item = refuse::ensure_struct_or_enum(errors, item)?;
    let derives = derives(&args.krate(item.ident.span()), &item);
    Some(quote!(#derives #item))
}

/// Prints the item with the `impl`s of a topic: the `impl` of `Topic`, and in `kind` the `impl`s of a stream or a
/// table.
fn topic(errors: &Errors, args: &TopicArgs, item: &DeriveInput, kind: TokenStream) -> TokenStream {
    let ident = &item.ident;
    let krate = args.krate(ident.span());
    let own = args.value.is_none();
    let derives =
        (own && (args.options.needs_serde() || !errors.is_empty())).then(|| derives(&krate, item));
    let krate = at(ident.span(), &krate);
    let value = match &args.value {
        Some(value) => quote!(#value),
        None => quote!(#ident),
    };
    let key = match &args.key {
        Some(key) => quote!(#key),
        None => quote_spanned!(ident.span()=> ::std::string::String),
    };
    let codec = args.options.codec(errors.is_empty(), value.span());
    let partitioner = args.options.of_topic();
    let generic = !item.generics.params.is_empty();
    let impls = (!generic).then(|| {
        quote_spanned! {ident.span()=>
            #[allow(unused_qualifications)]
            const _: () = {
                use #krate::__private as __goka;
                impl __goka::Topic for #ident {
                    type Key = #key;
                    type Value = #value;
                    type Codec = #codec;
                    #partitioner
                }
                #kind
            };
        }
    });
    quote!(#derives #item #impls)
}

/// Prints serde's derives, except the derives that the item already has. The macro sees only derives below the
/// attribute, because rustc expands attributes from top to bottom.
fn derives(krate: &Path, item: &DeriveInput) -> Option<TokenStream> {
    let (mut derived, mut named) = (Vec::new(), false);
    for attr in &item.attrs {
        if attr.path().is_ident("derive") {
            let parser = Punctuated::<Path, syn::Token![,]>::parse_terminated;
            let paths = attr.parse_args_with(parser).into_iter().flatten();
            derived.extend(paths.filter_map(|p| Some(p.segments.last()?.ident.to_string())));
        } else if attr.path().is_ident("serde") {
            named |= attr.to_token_stream().to_string().contains("crate");
        }
    }
    let missing = |name: &&str| !derived.iter().any(|derived| derived == name);
    let missing: Vec<_> = ["Serialize", "Deserialize"]
        .into_iter()
        .filter(missing)
        .map(|name| syn::Ident::new(name, item.ident.span()))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let span = item.ident.span();
    let path = format!("{}::__private::serde", krate.to_token_stream()).replace(' ', "");
    let path = LitStr::new(&path, span);
    let krate = at(span, krate);
    let path = (!named).then(|| quote_spanned!(span=> #[serde(crate = #path)]));
    Some(quote_spanned!(span=> #[derive(#(#krate::__private::serde::#missing),*)] #path))
}
