//! The model of a processor, the same for a function and for an `impl` block. Must not know what is
//! printed.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericArgument, Ident, LitStr, Path, PathArguments, ReturnType, Signature,
    Type,
};

use crate::{
    attr::{ProcessorArgs, TopicRef},
    check,
    item::{Block, Function, Item, Member},
    report::{Errors, point},
};

pub(crate) struct Processor {
    pub(crate) group: LitStr,
    /// The function, or the type of the `impl` block.
    pub(crate) name: Ident,
    /// The type that implements `Processor`.
    pub(crate) processor: TokenStream,
    pub(crate) args: ProcessorArgs,
    /// Inputs first; those that were understood.
    pub(crate) handlers: Vec<Handler>,
    /// Inputs of handlers that were not: in use, although nothing is printed for them.
    pub(crate) lost: Vec<Path>,
    pub(crate) item: Item,
}

pub(crate) struct Handler {
    pub(crate) role: Role,
    pub(crate) name: Ident,
    /// `#[cfg(...)]`s of the function, copied to whatever is printed for it.
    pub(crate) cfgs: Vec<Attribute>,
    /// An `async fn`.
    pub(crate) waits: bool,
    /// Where to point when the context is that of another processor.
    pub(crate) context: Span,
    pub(crate) message: Option<Message>,
    /// Where to point when the return type is wrong: the type, or the name if none is written.
    pub(crate) returns: TokenStream,
}

/// Where its records come from.
#[derive(Clone)]
pub(crate) enum Role {
    Input(TopicRef),
    /// Of the attribute.
    Loopback(Span),
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
        let args = ProcessorArgs::parse(errors, args);
        let group = check::ensure_group(errors, &args);
        let Some(parsed) = errors.take(syn::parse2(item.clone())) else {
            return Err(item);
        };
        match parsed {
            Item::Function(function) => {
                check::ensure_no_receiver(errors, &function).ok_or_else(TokenStream::new)?;
                Ok(Self::function(errors, group, args, function))
            }
            Item::Block(block) => {
                // What names a processor that does not exist would be a second error.
                let name = check::ensure_plain_block(errors, &block);
                let name = name.ok_or_else(TokenStream::new)?;
                Ok(Self::block(errors, group, args, name, block))
            }
            Item::Other(keyword) => {
                check::ensure_item(errors, keyword);
                Err(item)
            }
        }
    }

    fn function(
        errors: &mut Errors,
        group: LitStr,
        mut args: ProcessorArgs,
        function: Box<Function>,
    ) -> Self {
        let name = function.signature.ident.clone();
        let input = args.input.take();
        let role = Role::Input(check::ensure_input(errors, input, &name));
        let mut handlers = Handlers::default();
        handlers.add(errors, role, &function, false);
        Processor {
            group,
            processor: quote_spanned!(name.span()=> #name::Processor),
            name,
            args,
            handlers: handlers.understood,
            lost: handlers.lost,
            item: Item::Function(function),
        }
    }

    fn block(
        errors: &mut Errors,
        group: LitStr,
        args: ProcessorArgs,
        name: Ident,
        mut block: Box<Block>,
    ) -> Self {
        check::ensure_inputs_on_handlers(errors, &args);
        let mut handlers = Handlers::default();
        let mut sources = 0;
        for member in &mut block.members {
            if let Member::Function(function) = member
                && let Some(role) = take_role(errors, &mut function.attrs)
            {
                sources += 1;
                handlers.add(errors, role, function, true);
            }
        }
        check::ensure_some_handler(errors, sources, &name);
        let is_loopback = |handler: &Handler| matches!(handler.role, Role::Loopback(_));
        handlers.understood.sort_by_key(is_loopback);
        Processor {
            group,
            processor: quote!(#name),
            name,
            args,
            handlers: handlers.understood,
            lost: handlers.lost,
            item: Item::Block(block),
        }
    }
}

#[derive(Default)]
struct Handlers {
    understood: Vec<Handler>,
    lost: Vec<Path>,
}

impl Handlers {
    fn add(&mut self, errors: &mut Errors, role: Role, function: &Function, is_method: bool) {
        match (
            Handler::parse(errors, role.clone(), function, is_method),
            role,
        ) {
            (Some(handler), _) => self.understood.push(handler),
            (None, Role::Input(TopicRef::Path(path))) => self.lost.push(path),
            (None, Role::Input(TopicRef::Literal(_)) | Role::Loopback(_)) => {}
        }
    }
}

impl Handler {
    fn parse(
        errors: &mut Errors,
        role: Role,
        function: &Function,
        is_method: bool,
    ) -> Option<Self> {
        let signature = &function.signature;
        let name = signature.ident.clone();
        let expected = expected(signature, is_method);
        check::ensure_plain_fn(errors, signature, &expected)?;
        let mut inputs = signature.inputs.iter();
        if is_method {
            check::ensure_receiver(errors, inputs.next(), &name, &expected)?;
        }
        let context = check::ensure_context(errors, inputs.next(), &name, &expected)?;
        let message = match inputs.next() {
            Some(FnArg::Typed(message)) => Some(Message::from((*message.ty).clone())),
            _ => None,
        };
        check::ensure_no_more(errors, inputs.next(), &expected)?;
        let returns = match &signature.output {
            ReturnType::Type(_, ty) => quote!(#ty),
            ReturnType::Default => quote!(#name),
        };
        let cfgs = function.attrs.iter();
        Some(Handler {
            role,
            cfgs: cfgs
                .filter(|attr| attr.path().is_ident("cfg"))
                .cloned()
                .collect(),
            waits: signature.asyncness.is_some(),
            context,
            message,
            returns,
            name,
        })
    }
}

/// The signature that a handler should have, with the user's own names, and with the lifetime that
/// an `async fn` must write.
fn expected(signature: &Signature, is_method: bool) -> String {
    let name = &signature.ident;
    let asyncness = signature.asyncness.map_or("", |_| "async ");
    let (receiver, context) = match is_method {
        true => ("&self, ", "Context<'_, Self>".to_owned()),
        false => ("", format!("{name}::Context<'_>")),
    };
    format!("`{asyncness}fn {name}({receiver}ctx: &mut {context}, message: T) -> goka::Result`")
}

impl From<Type> for Message {
    fn from(ty: Type) -> Self {
        if let Type::Path(path) = &ty
            && let Some(last) = path.path.segments.last()
            && last.ident == "Option"
            && let PathArguments::AngleBracketed(args) = &last.arguments
            && let Some(GenericArgument::Type(inner)) = args.args.first()
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

/// What `#[input(...)]` or `#[loopback]` says; the attribute is not printed back.
fn take_role(errors: &mut Errors, attrs: &mut Vec<Attribute>) -> Option<Role> {
    let mut role = None;
    attrs.retain(|attr| {
        let found = if attr.path().is_ident("input") {
            let topic = errors.take(attr.parse_args());
            Role::Input(topic.unwrap_or_else(|| TopicRef::Literal(check::stand_in())))
        } else if attr.path().is_ident("loopback") {
            Role::Loopback(point(attr.path()))
        } else {
            return true;
        };
        if role.is_some() {
            check::one_source(errors, attr.to_token_stream());
        }
        role.get_or_insert(found);
        false
    });
    role
}
