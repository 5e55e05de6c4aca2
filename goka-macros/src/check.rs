//! Mistakes that the tokens show. What rustc can see (types, traits) is left to rustc, what only
//! constants show (names) to `const fn`s of `goka::check`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, DeriveInput, Ident, LitStr, Meta, Type};

use crate::{
    ast::{Handler, Processor, Source, Visitor},
    attr::{self, ProcessorArgs, TopicArgs, TopicRef},
    item::{Block, Function},
    policy::OnError,
    report::Errors,
};

/// What was reported is removed from the model, so that rustc does not report it again.
pub(crate) fn processor(errors: &mut Errors, model: &mut Processor) {
    ensure_name(errors, &model.group, "group");
    ensure_key(errors, &mut model.args.key);
    ensure_guarantee(errors, &mut model.args.guarantee);
    for handler in &model.handlers {
        if let Source::Input(TopicRef::Literal(topic)) = &handler.source {
            ensure_name(errors, topic, "topic");
        }
    }
    ensure_distinct_handlers(errors, model);
    ensure_distinct_visitors(errors, model);
    ensure_some_input(errors, model);
}

/// As far as tokens show it: the same type, or the same literal. The rest is a constant's. Of two
/// handlers with `#[cfg]`s one may be absent.
fn ensure_distinct_handlers(errors: &mut Errors, model: &mut Processor) {
    let mut kept: Vec<Handler> = Vec::new();
    for handler in std::mem::take(&mut model.handlers) {
        let first = kept.iter().find(|first| {
            let is_always = first.callee.cfgs.is_empty() && handler.callee.cfgs.is_empty();
            is_always && is_same_source(&first.source, &handler.source)
        });
        match (first, &handler.source) {
            (None, _) => kept.push(handler),
            (Some(first), Source::Input(topic)) => errors.at(
                topic,
                format!(
                    "`{}` already reads this topic; a record has one handler",
                    first.callee.name
                ),
            ),
            (Some(_), Source::Loopback(_)) => errors.at(
                &handler.callee.name,
                "a group has one loopback; let its message be an enum to tell cases apart",
            ),
        }
    }
    model.handlers = kept;
}

/// As far as tokens show it, again: `running.visit(..)` finds a visitor by its arguments.
fn ensure_distinct_visitors(errors: &mut Errors, model: &mut Processor) {
    let mut kept: Vec<Visitor> = Vec::new();
    for visitor in std::mem::take(&mut model.visitors) {
        let text = |args: &Type| args.to_token_stream().to_string();
        let first = kept.iter().find(|first| {
            let is_always = first.callee.cfgs.is_empty() && visitor.callee.cfgs.is_empty();
            is_always && text(&first.args) == text(&visitor.args)
        });
        match first {
            None => kept.push(visitor),
            Some(first) => errors.at(
                &visitor.args,
                format!(
                    "`{}` already takes these arguments, and they choose the visitor: give `{}` a type of its own",
                    first.callee.name, visitor.callee.name
                ),
            ),
        }
    }
    model.visitors = kept;
}

fn is_same_source(one: &Source, other: &Source) -> bool {
    let text = |topic: &TopicRef| topic.to_token_stream().to_string();
    match (one, other) {
        (Source::Input(one), Source::Input(other)) => text(one) == text(other),
        (Source::Loopback(_), Source::Loopback(_)) => true,
        (Source::Input(_), Source::Loopback(_)) | (Source::Loopback(_), Source::Input(_)) => false,
    }
}

fn ensure_some_input(errors: &mut Errors, model: &Processor) {
    let mut sources = model.handlers.iter().map(|handler| &handler.source);
    if errors.is_empty() && !sources.any(|source| matches!(source, Source::Input(_))) {
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

/// Types of the language that are no keys. Any other is rustc's, which asks in several places.
fn ensure_key(errors: &mut Errors, key: &mut Option<Type>) {
    const NO_KEYS: [&str; 6] = ["bool", "char", "f32", "f64", "isize", "usize"];
    let no_key = key.take_if(|key| NO_KEYS.contains(&key.to_token_stream().to_string().as_str()));
    if let Some(key) = no_key {
        let name = key.to_token_stream();
        errors.at(
            &key,
            format!("`{name}` cannot be a key: a key is a `String`, an integer of 8 to 128 bits, a `Vec<u8>`, `()` for records without a key, or a type of yours with `impl goka::Key`"),
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

/// A second `#[input]`, `#[loopback]` or `#[visitor]`.
pub(crate) fn one_mark(errors: &mut Errors, attr: TokenStream) {
    errors.at(
        attr,
        "a method handles one thing; call a shared method from two of them instead",
    );
}

/// The arguments of `#[loopback]` and `#[visitor]`.
pub(crate) fn handler_args(errors: &mut Errors, attr: &Attribute, why: &str) -> Option<OnError> {
    let mut on_error = None;
    let name = attr.path().to_token_stream();
    match &attr.meta {
        Meta::Path(_) => {}
        Meta::List(list) if begins_with_name(&list.tokens) => {
            let of = format!("#[{name}(...)]");
            attr::handler_args(errors, &of, list.tokens.clone(), &mut on_error);
        }
        Meta::List(_) | Meta::NameValue(_) => {
            errors.at(attr, format!("`#[{name}]` takes `on_error` alone: {why}"))
        }
    }
    on_error
}

fn begins_with_name(tokens: &TokenStream) -> bool {
    let mut tokens = tokens.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), next) => name == "on_error" || next.is_some(),
        _ => false,
    }
}

/// A visit has no record.
pub(crate) fn ensure_no_dead_letter(errors: &mut Errors, on_error: Option<&OnError>) {
    if let Some(name) = on_error.and_then(OnError::dead_letter) {
        errors.at(
            name,
            "a visitor handles rows, and no records that dead letters could be made of: write `fail`, `skip` or `retry(...)`",
        );
    }
}

fn ensure_guarantee(errors: &mut Errors, guarantee: &mut Option<Ident>) {
    let known = |name: &mut Ident| name != "exactly_once" && name != "at_least_once";
    if let Some(name) = guarantee.take_if(known) {
        errors.at(
            &name,
            format!("unknown guarantee `{name}`\nknown are `at_least_once` and `exactly_once`; without one, that of the app's `Config`"),
        );
    }
}

/// A function has one handler, itself. The marks of others are not printed back.
pub(crate) fn ensure_unmarked(errors: &mut Errors, attrs: &mut Vec<Attribute>) {
    attrs.retain(|attr| {
        let path = attr.path();
        let what = if path.is_ident("input") {
            "a function names its input in the attribute, `#[goka::processor(input = ...)]`; for several"
        } else if path.is_ident("loopback") {
            "a function has one handler, that of its input; for a loopback"
        } else if path.is_ident("visitor") {
            "a function has one handler, that of its input; for a visitor"
        } else {
            return true;
        };
        errors.at(
            attr,
            format!("{what}, put `#[goka::processor(...)]` on an `impl` block and mark its methods"),
        );
        false
    });
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
