//! Mistakes that the tokens show. What rustc can see (types, traits) is left to rustc, what only
//! constants show (names) to `const fn`s of `goka::check`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    DeriveInput, FnArg, GenericArgument, GenericParam, Generics, Ident, LitStr, Path,
    PathArguments, Signature, Type, spanned::Spanned,
};

use crate::{
    ast::{Handler, Processor, Role},
    attr::{ProcessorArgs, TopicArgs, TopicRef},
    item::{Block, Function},
    report::Errors,
};

/// What was reported is removed from the model, so that rustc does not report it again.
pub(crate) fn processor(errors: &mut Errors, model: &mut Processor) {
    ensure_name(errors, &model.group, "group");
    for handler in &model.handlers {
        if let Role::Input(TopicRef::Literal(topic)) = &handler.role {
            ensure_name(errors, topic, "topic");
        }
    }
    ensure_distinct_handlers(errors, model);
    ensure_some_input(errors, model);
}

/// As far as tokens show it: the same type, or the same literal. The rest is a constant's. Of two
/// handlers with `#[cfg]`s one may be absent.
fn ensure_distinct_handlers(errors: &mut Errors, model: &mut Processor) {
    let mut kept: Vec<Handler> = Vec::new();
    for handler in std::mem::take(&mut model.handlers) {
        let first = kept.iter().find(|first| {
            let is_always = first.cfgs.is_empty() && handler.cfgs.is_empty();
            is_always && is_same_source(&first.role, &handler.role)
        });
        match (first, &handler.role) {
            (None, _) => kept.push(handler),
            (Some(first), Role::Input(topic)) => errors.at(
                topic,
                format!(
                    "`{}` already reads this topic; a record has one handler",
                    first.name
                ),
            ),
            (Some(_), Role::Loopback(_)) => errors.at(
                &handler.name,
                "a group has one loopback; let its message be an enum to tell cases apart",
            ),
        }
    }
    model.handlers = kept;
}

fn is_same_source(one: &Role, other: &Role) -> bool {
    let text = |topic: &TopicRef| topic.to_token_stream().to_string();
    match (one, other) {
        (Role::Input(one), Role::Input(other)) => text(one) == text(other),
        (Role::Loopback(_), Role::Loopback(_)) => true,
        (Role::Input(_), Role::Loopback(_)) | (Role::Loopback(_), Role::Input(_)) => false,
    }
}

fn ensure_some_input(errors: &mut Errors, model: &Processor) {
    let mut roles = model.handlers.iter().map(|handler| &handler.role);
    if errors.is_empty() && !roles.any(|role| matches!(role, Role::Input(_))) {
        let name = &model.name;
        errors.at(
            name,
            format!("`{name}` has no input: mark a method with `#[input(...)]`"),
        );
    }
}

pub(crate) fn ensure_some_handler(errors: &mut Errors, handlers: usize, name: &Ident) {
    if errors.is_empty() && handlers == 0 {
        errors.at(
            name,
            format!("`{name}` has no handler: mark a method with `#[input(...)]`"),
        );
    }
}

/// The name of the group. What is missing is said only if nothing else is wrong: it may be what was
/// meant there.
pub(crate) fn ensure_group(errors: &mut Errors, args: &ProcessorArgs) -> LitStr {
    if args.group.is_none() && errors.is_empty() {
        errors.missing("missing `group = \"...\"`, the name of the processor group");
    }
    args.group.clone().unwrap_or_else(stand_in)
}

pub(crate) fn ensure_input(
    errors: &mut Errors,
    input: Option<TopicRef>,
    handler: &Ident,
) -> TopicRef {
    if input.is_none() && errors.is_empty() {
        errors.missing(format!("missing `input = ...`, the topic that `{handler}` reads: a string literal, or a type declared with `#[goka::stream(...)]`"));
    }
    input.unwrap_or_else(|| TopicRef::Literal(stand_in()))
}

/// A name for what is missing, so that the rest is still printed.
pub(crate) fn stand_in() -> LitStr {
    LitStr::new("missing", Span::call_site())
}

/// It begins with `keyword`, and is neither a function nor an `impl` block.
pub(crate) fn ensure_item(errors: &mut Errors, keyword: TokenStream) {
    errors.at(
        keyword,
        "`#[goka::processor]` goes on a function (one handler) or on an `impl` block (several)",
    );
}

pub(crate) fn ensure_no_receiver(errors: &mut Errors, function: &Function) -> Option<()> {
    let Some(receiver) = function.signature.receiver() else {
        return Some(());
    };
    let name = &function.signature.ident;
    errors.at(
        receiver,
        format!("a handler with `self` is marked `#[input(...)]`, and its `impl` block has the `#[goka::processor(...)]`; a function of its own is `fn {name}(ctx: &mut {name}::Context<'_>, message: T) -> goka::Result`"),
    );
    None
}

/// The type of an `impl` block is a name, and the block is its own.
pub(crate) fn ensure_plain_block(errors: &mut Errors, block: &Block) -> Option<Ident> {
    let generic =
        "a processor cannot be generic: its graph is one constant; write one processor per type";
    if let Some(of_trait) = &block.of_trait {
        errors.at(
            of_trait,
            "`#[goka::processor]` goes on an `impl` block without a trait: `impl MyProcessor { ... }`",
        );
        return None;
    }
    let generics = block.generics.params.to_token_stream();
    if !generics.is_empty() {
        errors.at(generics, generic);
        return None;
    }
    if let Type::Path(path) = &block.ty
        && let Some(name) = path.path.get_ident()
    {
        return Some(name.clone());
    }
    if let Type::Path(path) = &block.ty
        && let Some(last) = path.path.segments.last()
        && !last.arguments.is_empty()
    {
        errors.at(&last.arguments, generic);
        return None;
    }
    errors.at(
        &block.ty,
        "a processor is a type named without a path; put the `impl` block where the type is declared",
    );
    None
}

pub(crate) fn ensure_inputs_on_handlers(errors: &mut Errors, args: &ProcessorArgs) {
    if let Some(input) = &args.input {
        errors.at(
            input,
            "on an `impl` block each handler names its input: `#[input(...)]`",
        );
    }
}

/// A second `#[input]` or `#[loopback]`.
pub(crate) fn one_source(errors: &mut Errors, attr: TokenStream) {
    errors.at(
        attr,
        "a handler has one source; call a shared method from two handlers instead",
    );
}

pub(crate) fn ensure_receiver(
    errors: &mut Errors,
    first: Option<&FnArg>,
    name: &Ident,
    expected: &str,
) -> Option<()> {
    let begins = format!("a handler of an `impl` block begins with `&self`: {expected}");
    match first {
        Some(FnArg::Receiver(receiver))
            if receiver.reference.is_some()
                && receiver.mutability.is_none()
                && receiver.colon_token.is_none() =>
        {
            return Some(());
        }
        Some(FnArg::Receiver(receiver)) => errors.at(
            receiver,
            format!("partitions share one processor, so a handler takes `&self`: {expected}"),
        ),
        Some(other) => errors.at(other, begins),
        None => errors.at(name, begins),
    }
    None
}

/// Not generic, `const`, `unsafe` or `extern`.
pub(crate) fn ensure_plain_fn(
    errors: &mut Errors,
    signature: &Signature,
    expected: &str,
) -> Option<()> {
    if let Some(generic) = generic(&signature.generics) {
        errors.at(
            generic,
            format!("a handler cannot be generic: the type of its message is known when compiling; write {expected}"),
        );
        return None;
    }
    let (constness, unsafety) = (&signature.constness, &signature.unsafety);
    let (abi, variadic) = (&signature.abi, &signature.variadic);
    let qualifiers = quote!(#constness #unsafety #abi #variadic);
    if !qualifiers.is_empty() {
        errors.at(
            qualifiers,
            format!("a handler has the signature {expected}"),
        );
        return None;
    }
    Some(())
}

fn generic(generics: &Generics) -> Option<&GenericParam> {
    let is_lifetime = |param: &&GenericParam| matches!(param, GenericParam::Lifetime(_));
    generics.params.iter().find(|param| !is_lifetime(param))
}

/// The context, first and mutable; gives the token to point at.
pub(crate) fn ensure_context(
    errors: &mut Errors,
    first: Option<&FnArg>,
    name: &Ident,
    expected: &str,
) -> Option<Span> {
    let Some(FnArg::Typed(context)) = first else {
        errors.at(name, format!("a handler takes the context: {expected}"));
        return None;
    };
    if let Type::Reference(reference) = &*context.ty
        && reference.mutability.is_some()
    {
        return Some(match &*reference.elem {
            Type::Path(path) => processor_in(&path.path),
            other => other.span(),
        });
    }
    errors.at(
        &context.ty,
        format!("a handler takes the context first, by mutable reference: {expected}"),
    );
    None
}

/// The processor in `other::Context<'_>` or in `Context<'_, Other>`.
fn processor_in(context: &Path) -> Span {
    if let Some(last) = context.segments.last()
        && let PathArguments::AngleBracketed(args) = &last.arguments
        && let Some(GenericArgument::Type(processor)) = args.args.last()
    {
        return processor.span();
    }
    context.span()
}

pub(crate) fn ensure_no_more(
    errors: &mut Errors,
    more: Option<&FnArg>,
    expected: &str,
) -> Option<()> {
    if let Some(more) = more {
        errors.at(
            more,
            format!("a handler takes the context and at most one message: {expected}"),
        );
        return None;
    }
    Some(())
}

/// A topic type: not generic, and either a value or a marker for one.
pub(crate) fn ensure_topic_type(errors: &mut Errors, args: &TopicArgs, item: &DeriveInput) {
    let ident = &item.ident;
    ensure_codec(errors, args);
    ensure_partitioner(errors, args);
    let generics = item.generics.params.to_token_stream();
    if !generics.is_empty() {
        errors.at(
            generics,
            "a topic cannot be generic: it is one name for one type of values; write one topic per type",
        );
    }
    let unit = matches!(&item.data, syn::Data::Struct(s) if matches!(s.fields, syn::Fields::Unit));
    match &args.value {
        Some(value) if !unit => errors.at(
            value,
            format!("`value` goes with a unit struct, as in `struct {ident};`: `{ident}` has content and is its own value"),
        ),
        None if unit => errors.at(
            ident,
            format!("`{ident}` has no content: give it fields, or name the type of the values with `value = ...`"),
        ),
        _ => {}
    }
}

/// Without it there is nothing to print impls for.
pub(crate) fn ensure_struct_or_enum(errors: &mut Errors, item: TokenStream) -> Option<DeriveInput> {
    let item: DeriveInput = errors.take(syn::parse2(item))?;
    if let syn::Data::Union(union) = &item.data {
        errors.at(union.union_token, "values are of a struct or an enum");
        return None;
    }
    Some(item)
}

/// A codec named without a path is one of ours, or a type in scope: rustc tells. Only a name that
/// is nearly one of ours has a better answer.
fn ensure_codec(errors: &mut Errors, args: &TopicArgs) {
    let Some(codec) = &args.codec else { return };
    let name = codec.to_token_stream().to_string();
    let meant = match name.to_lowercase().as_str() {
        "json" => "Json",
        "msgpack" | "messagepack" => "MsgPack",
        "raw" | "bytes" => "Raw",
        "text" | "utf8" | "string" | "int64" => "Text",
        _ => return,
    };
    if name != meant {
        errors.at(
            codec,
            format!("unknown codec `{name}`; did you mean `{meant}`?\nfor a codec of your own with this name write `self::{name}`"),
        );
    }
}

fn ensure_partitioner(errors: &mut Errors, args: &TopicArgs) {
    let Some(name) = &args.partitioner else {
        return;
    };
    if name != "murmur2" && name != "fnv1a" {
        errors.at(
            name,
            format!("unknown partitioner `{name}`\nknown are `murmur2` (the default, as the JVM clients and Kafka Streams) and `fnv1a` (as Go Goka)"),
        );
    }
}

/// Kafka: 1 to 249 of `[a-zA-Z0-9._-]`.
pub(crate) fn ensure_name(errors: &mut Errors, literal: &LitStr, what: &str) {
    let value = literal.value();
    // The topics of a group add a suffix to its name.
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
