//! Reports mistakes in the shape of an item, and arguments that its attribute lacks, before there is a model. rustc
//! reports mistakes in types and traits, and constants of goka report mistakes in names. Must not know the model.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{DeriveInput, Ident, LitStr, Type};

use crate::{
    attr::{ProcessorArgs, TopicArgs},
    item::{Block, Function},
    name::stand_in,
    report::Errors,
    word::TopicRef,
};

/// Returns the name of the group. Reports a missing name only if nothing else is wrong, because a wrong argument may
/// be meant as the missing argument.
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

/// Refuses an item that is neither a function nor an `impl` block. `keyword` is the first token of the item.
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
        format!("a handler with `self` is a method: mark the method with `#[input(...)]`, and put `#[goka::processor(...)]` on its `impl` block. To mark a function instead, write `fn {name}(ctx: &mut {name}::Context<'_>, message: T) -> goka::Result`"),
    );
    None
}

/// Returns the name of the type of an `impl` block. Refuses paths, generics and traits.
pub(crate) fn ensure_plain_block(errors: &mut Errors, block: &Block) -> Option<Ident> {
    let generic = "a processor cannot be generic, because its graph is a constant: write one processor for each type";
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
        "the type of a processor cannot be a path: put the `impl` block into the module that declares the type",
    );
    None
}

pub(crate) fn ensure_inputs_on_handlers(errors: &mut Errors, args: &ProcessorArgs) {
    if let Some(input) = &args.input {
        errors.at(
            input,
            "on an `impl` block, `input` is not an argument: mark each handler with `#[input(...)]`",
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

/// Returns the item if it is a struct or an enum. For any other item, returns `None`, and no impls are printed.
pub(crate) fn ensure_struct_or_enum(errors: &mut Errors, item: TokenStream) -> Option<DeriveInput> {
    let item: DeriveInput = errors.take(syn::parse2(item))?;
    if let syn::Data::Union(union) = &item.data {
        errors.at(
            union.union_token,
            "a value cannot be a union: declare a struct or an enum",
        );
        return None;
    }
    Some(item)
}

/// Refuses a generic topic, and a topic whose type is neither a value nor a marker for values of another type.
pub(crate) fn ensure_topic_type(errors: &mut Errors, args: &TopicArgs, item: &DeriveInput) {
    let ident = &item.ident;
    args.options.check(errors);
    let generics = item.generics.params.to_token_stream();
    if !generics.is_empty() {
        errors.at(
            generics,
            "a topic cannot be generic, because a topic has one type of values: declare one topic for each type",
        );
    }
    let unit = matches!(&item.data, syn::Data::Struct(s) if matches!(s.fields, syn::Fields::Unit));
    match &args.value {
        Some(value) if !unit => errors.at(
            value,
            format!("`{ident}` has fields or variants, so `{ident}` is the type of the values: remove `value`, or declare `struct {ident};`"),
        ),
        None if unit => errors.at(
            ident,
            format!("`{ident}` has no fields: add fields, or name the type of the values with `value = ...`"),
        ),
        _ => {}
    }
}
