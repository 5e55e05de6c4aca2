//! Reports mistakes in the signature of a method that goka calls. Each error text ends with the expected signature,
//! with the user's own names. Must not know types: rustc reports those.

use std::fmt::{self, Display};

use proc_macro2::Span;
use quote::quote;
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, Ident, Path, PathArguments, Signature, Type,
    spanned::Spanned,
};

use crate::report::Errors;

/// The words for one kind of method.
pub(crate) struct Words {
    /// What such a method is called, for example "handler".
    pub(crate) what: &'static str,
    /// The name of the last parameter, for example "message".
    pub(crate) last: &'static str,
    /// How many parameters may follow the context, for example "at most one message".
    pub(crate) most: &'static str,
}

/// The signature that the function should have.
pub(crate) struct Expected {
    words: &'static Words,
    text: String,
}

impl Expected {
    /// Makes the expected signature, with the user's own names, and with the lifetime that an `async fn` must write.
    pub(crate) fn new(words: &'static Words, signature: &Signature, is_method: bool) -> Self {
        let (name, last) = (&signature.ident, words.last);
        let asyncness = signature.asyncness.map_or("", |_| "async ");
        let (receiver, context) = match is_method {
            true => ("&self, ", "Context<'_, Self>".to_owned()),
            false => ("", format!("{name}::Context<'_>")),
        };
        let text = format!(
            "`{asyncness}fn {name}({receiver}ctx: &mut {context}, {last}: T) -> goka::Result`"
        );
        Expected { words, text }
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Refuses a function that is generic, `const`, `unsafe` or `extern`.
pub(crate) fn ensure_plain_fn(
    errors: &mut Errors,
    signature: &Signature,
    expected: &Expected,
) -> Option<()> {
    let Words { what, last, .. } = expected.words;
    if let Some(generic) = generic(&signature.generics) {
        errors.at(
            generic,
            format!("a {what} cannot be generic: the type of `{last}` is known when compiling; write {expected}"),
        );
        return None;
    }
    let (constness, unsafety) = (&signature.constness, &signature.unsafety);
    let (abi, variadic) = (&signature.abi, &signature.variadic);
    let qualifiers = quote!(#constness #unsafety #abi #variadic);
    if !qualifiers.is_empty() {
        errors.at(qualifiers, format!("a {what} has the signature {expected}"));
        return None;
    }
    Some(())
}

fn generic(generics: &Generics) -> Option<&GenericParam> {
    let is_lifetime = |param: &&GenericParam| matches!(param, GenericParam::Lifetime(_));
    generics.params.iter().find(|param| !is_lifetime(param))
}

pub(crate) fn ensure_receiver(
    errors: &mut Errors,
    first: Option<&FnArg>,
    name: &Ident,
    expected: &Expected,
) -> Option<()> {
    let what = expected.words.what;
    let begins = format!("a {what} of an `impl` block begins with `&self`: {expected}");
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
            format!("partitions share one processor, so a {what} takes `&self`: {expected}"),
        ),
        Some(other) => errors.at(other, begins),
        None => errors.at(name, begins),
    }
    None
}

/// Requires that the first parameter is the context, by mutable reference. Returns the span of the token to point at.
pub(crate) fn ensure_context(
    errors: &mut Errors,
    first: Option<&FnArg>,
    name: &Ident,
    expected: &Expected,
) -> Option<Span> {
    let what = expected.words.what;
    let Some(FnArg::Typed(context)) = first else {
        errors.at(name, format!("a {what} takes the context: {expected}"));
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
        format!("a {what} takes the context first, by mutable reference: {expected}"),
    );
    None
}

/// Returns the span of the processor in `other::Context<'_>` or in `Context<'_, Other>`.
fn processor_in(context: &Path) -> Span {
    if let Some(last) = context.segments.last()
        && let PathArguments::AngleBracketed(args) = &last.arguments
        && let Some(GenericArgument::Type(processor)) = args.args.last()
    {
        return processor.span();
    }
    context.span()
}

/// Requires the arguments of a visit, by value, because their type chooses the visitor.
pub(crate) fn ensure_args(
    errors: &mut Errors,
    args: Option<Type>,
    name: &Ident,
    expected: &Expected,
) -> Option<Type> {
    if let Some(Type::Reference(borrowed)) = &args {
        errors.at(
            borrowed,
            format!("a visitor takes its arguments by value, and goka clones them for each key: {expected}; to share large arguments, write `args: Arc<T>`"),
        );
        return None;
    }
    if args.is_none() {
        errors.at(
            name,
            format!("the last parameter of a visitor is the arguments of the visit, whose type selects the visitor: {expected}; without arguments, use a unit struct"),
        );
    }
    args
}

pub(crate) fn ensure_no_more(
    errors: &mut Errors,
    more: Option<&FnArg>,
    expected: &Expected,
) -> Option<()> {
    let Words { what, most, .. } = expected.words;
    if let Some(more) = more {
        errors.at(
            more,
            format!("a {what} takes the context and {most}: {expected}"),
        );
        return None;
    }
    Some(())
}
