//! The model of a processor. The body of its function is not parsed: it is tokens to print back,
//! so that a half-typed one keeps its errors and completions to rustc. Must not know what is
//! printed.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, FnArg, Ident, LitStr, Path, Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

use crate::{
    attr::{ProcessorArgs, TopicRef},
    check,
    report::Errors,
};

pub(crate) struct Processor {
    pub(crate) group: LitStr,
    /// The name of the function.
    pub(crate) name: Ident,
    /// The type that implements `Processor`.
    pub(crate) processor: TokenStream,
    pub(crate) args: ProcessorArgs,
    /// `None` if it was not understood.
    pub(crate) handler: Option<Handler>,
    /// The input of a handler that was not understood: in use, although nothing is printed for it.
    pub(crate) lost: Option<Path>,
    pub(crate) function: Box<Function>,
}

/// A function whose body is not looked at.
pub(crate) struct Function {
    attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    signature: Signature,
    body: Group,
}

pub(crate) struct Handler {
    pub(crate) input: TopicRef,
    pub(crate) name: Ident,
    /// An `async fn`.
    pub(crate) waits: bool,
    /// Where to point when the context is that of another processor.
    pub(crate) context: Span,
    pub(crate) message: Option<Message>,
    /// Where to point when the return type is wrong: the type, or the name if none is written.
    pub(crate) returns: TokenStream,
}

/// The last parameter of a handler.
pub(crate) struct Message {
    /// Without the `Option`.
    pub(crate) ty: Type,
    pub(crate) tombstones: bool,
}

impl Processor {
    /// Without a model: what is left of the item to print.
    pub(crate) fn parse(
        errors: &mut Errors,
        args: TokenStream,
        item: TokenStream,
    ) -> Result<Self, TokenStream> {
        let mut args = ProcessorArgs::parse(errors, args);
        let group = check::ensure_group(errors, &args);
        let function = match errors.take(syn::parse2(item.clone())) {
            None => return Err(item),
            Some(Parsed::Other(keyword)) => {
                check::not_a_function(errors, &keyword);
                // What names a processor that does not exist would be a second error.
                let is_impl = keyword.to_string() == "impl";
                return Err(if is_impl { TokenStream::new() } else { item });
            }
            Some(Parsed::Method(receiver)) => {
                check::not_a_function(errors, receiver);
                return Err(TokenStream::new());
            }
            Some(Parsed::Function(function)) => function,
        };
        let name = function.signature.ident.clone();
        let input = args.input.take();
        let input = check::ensure_input(errors, input, &name);
        let handler = Handler::parse(errors, input.clone(), &function);
        let lost = match (&handler, input) {
            (None, TopicRef::Path(path)) => Some(path),
            _ => None,
        };
        Ok(Processor {
            group,
            processor: quote_spanned!(name.span()=> #name::Processor),
            name,
            args,
            handler,
            lost,
            function,
        })
    }
}

impl Handler {
    fn parse(errors: &mut Errors, input: TopicRef, function: &Function) -> Option<Self> {
        let signature = &function.signature;
        let name = signature.ident.clone();
        let asyncness = signature.asyncness.map_or("", |_| "async ");
        // With the user's own names, and the lifetime that an `async fn` must write.
        let expected = format!(
            "`{asyncness}fn {name}(ctx: &mut {name}::Context<'_>, message: T) -> goka::Result`"
        );
        check::ensure_plain_fn(errors, signature, &expected)?;
        let mut inputs = signature.inputs.iter();
        let context = check::ensure_context(errors, inputs.next(), &name, &expected)?;
        let message = match inputs.next() {
            Some(FnArg::Typed(message)) => Some(Message::from((*message.ty).clone())),
            _ => None,
        };
        check::ensure_no_more(errors, inputs.next(), &expected)?;
        let returns = match &signature.output {
            syn::ReturnType::Type(_, ty) => quote!(#ty),
            syn::ReturnType::Default => quote!(#name),
        };
        Some(Handler {
            input,
            waits: signature.asyncness.is_some(),
            context,
            message,
            returns,
            name,
        })
    }
}

impl From<Type> for Message {
    fn from(ty: Type) -> Self {
        if let Type::Path(path) = &ty
            && let Some(last) = path.path.segments.last()
            && last.ident == "Option"
            && let syn::PathArguments::AngleBracketed(args) = &last.arguments
            && let Some(syn::GenericArgument::Type(inner)) = args.args.first()
        {
            return Message {
                ty: inner.clone(),
                tombstones: true,
            };
        }
        Message {
            ty,
            tombstones: false,
        }
    }
}

enum Parsed {
    Function(Box<Function>),
    /// A function with this `self`.
    Method(TokenStream),
    /// Something else, that begins with this keyword.
    Other(TokenStream),
}

impl Parse for Parsed {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let is_function = input.fork().parse::<Signature>().is_ok();
        if !is_function && !input.peek(Token![fn]) {
            let keyword: Option<TokenTree> = input.parse()?;
            input.parse::<TokenStream>()?;
            return Ok(Parsed::Other(keyword.into_token_stream()));
        }
        let signature: Signature = input.parse()?;
        let body = input.parse()?;
        if let Some(receiver) = signature.receiver() {
            return Ok(Parsed::Method(receiver.into_token_stream()));
        }
        Ok(Parsed::Function(Box::new(Function {
            attrs,
            vis,
            signature,
            body,
        })))
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (attrs, vis, signature, body) = (&self.attrs, &self.vis, &self.signature, &self.body);
        tokens.extend(quote!(#(#attrs)* #vis #signature #body));
    }
}
