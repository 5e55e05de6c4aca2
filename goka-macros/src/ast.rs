//! The model of a processor, the same for a function and for an `impl` block. Must not know what is
//! printed.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericArgument, Ident, LitStr, Path, PathArguments, ReturnType, Type,
    parse::ParseStream,
};

use crate::{
    attr::{self, ProcessorArgs, TopicRef},
    check,
    item::{Block, Function, Item, Member},
    policy::OnError,
    report::{Errors, point},
    signature::{self, Expected},
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
    /// Those that were understood.
    pub(crate) visitors: Vec<Visitor>,
    /// Inputs of handlers that were not: in use, although nothing is printed for them.
    pub(crate) lost: Vec<Path>,
    pub(crate) item: Item,
}

pub(crate) struct Handler {
    pub(crate) source: Source,
    pub(crate) callee: Callee,
    pub(crate) message: Option<Message>,
    /// Its own; that of the processor otherwise.
    pub(crate) on_error: Option<OnError>,
}

/// Where its records come from.
pub(crate) enum Source {
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

pub(crate) struct Visitor {
    /// Of the attribute.
    pub(crate) mark: Span,
    pub(crate) callee: Callee,
    /// The type of its last parameter.
    pub(crate) args: Type,
    pub(crate) on_error: Option<OnError>,
}

/// What is known of a function of the user's, to call it.
pub(crate) struct Callee {
    pub(crate) name: Ident,
    /// `#[cfg(...)]`s of the function, copied to whatever is printed for it.
    pub(crate) cfgs: Vec<Attribute>,
    /// An `async fn`.
    pub(crate) waits: bool,
    /// Where to point when the context is that of another processor.
    pub(crate) context: Span,
    /// Where to point when the return type is wrong: the type, or the name if none is written.
    pub(crate) returns: TokenStream,
}

/// What a method is marked as.
enum Mark {
    Source(Source),
    /// Of the attribute.
    Visitor(Span),
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
        mut function: Box<Function>,
    ) -> Self {
        let name = function.signature.ident.clone();
        check::ensure_unmarked(errors, &mut function.attrs);
        let (input, several) = (args.input.take(), std::mem::take(&mut args.more_inputs));
        let source = Source::Input(check::ensure_input(errors, input, &name));
        let mut methods = Methods::default();
        methods.add(errors, (Mark::Source(source), None), &function, false);
        Processor {
            group,
            processor: quote_spanned!(name.span()=> #name::Processor),
            name,
            args,
            handlers: methods.handlers,
            visitors: methods.visitors,
            lost: methods.lost.into_iter().chain(several).collect(),
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
        let mut methods = Methods::default();
        let mut sources = 0;
        for member in &mut block.members {
            if let Member::Function(function) = member
                && let Some(mark) = take_mark(errors, &mut function.attrs)
            {
                sources += usize::from(matches!(mark.0, Mark::Source(_)));
                methods.add(errors, mark, function, true);
            }
        }
        check::ensure_some_handler(errors, sources, &name);
        let is_loopback = |handler: &Handler| matches!(handler.source, Source::Loopback(_));
        methods.handlers.sort_by_key(is_loopback);
        Processor {
            group,
            processor: quote!(#name),
            name,
            args,
            handlers: methods.handlers,
            visitors: methods.visitors,
            lost: methods.lost,
            item: Item::Block(block),
        }
    }
}

#[derive(Default)]
struct Methods {
    handlers: Vec<Handler>,
    visitors: Vec<Visitor>,
    lost: Vec<Path>,
}

impl Methods {
    fn add(
        &mut self,
        errors: &mut Errors,
        (mark, on_error): (Mark, Option<OnError>),
        function: &Function,
        is_method: bool,
    ) {
        let signature = &function.signature;
        let expected = match mark {
            Mark::Source(_) => Expected::handler(signature, is_method),
            Mark::Visitor(_) => Expected::visitor(signature),
        };
        let parsed = Callee::parse(errors, function, is_method, &expected);
        match (mark, parsed) {
            (Mark::Source(source), Some((callee, message))) => self.handlers.push(Handler {
                source,
                callee,
                message: message.map(Message::from),
                on_error,
            }),
            (Mark::Source(Source::Input(TopicRef::Path(path))), None) => self.lost.push(path),
            (Mark::Visitor(mark), Some((callee, args))) => {
                let args = signature::ensure_args(errors, args, &callee.name, &expected);
                self.visitors.extend(args.map(|args| Visitor {
                    mark,
                    callee,
                    args,
                    on_error,
                }));
            }
            (Mark::Source(_) | Mark::Visitor(_), None) => {}
        }
    }
}

impl Callee {
    /// With the type of the last parameter.
    fn parse(
        errors: &mut Errors,
        function: &Function,
        is_method: bool,
        expected: &Expected,
    ) -> Option<(Self, Option<Type>)> {
        let signature = &function.signature;
        let name = signature.ident.clone();
        signature::ensure_plain_fn(errors, signature, expected)?;
        let mut inputs = signature.inputs.iter();
        if is_method {
            signature::ensure_receiver(errors, inputs.next(), &name, expected)?;
        }
        let context = signature::ensure_context(errors, inputs.next(), &name, expected)?;
        let last = match inputs.next() {
            Some(FnArg::Typed(last)) => Some((*last.ty).clone()),
            _ => None,
        };
        signature::ensure_no_more(errors, inputs.next(), expected)?;
        let returns = match &signature.output {
            ReturnType::Type(_, ty) => quote!(#ty),
            ReturnType::Default => quote!(#name),
        };
        let cfgs = function.attrs.iter();
        let callee = Callee {
            cfgs: cfgs
                .filter(|attr| attr.path().is_ident("cfg"))
                .cloned()
                .collect(),
            waits: signature.asyncness.is_some(),
            context,
            returns,
            name,
        };
        Some((callee, last))
    }
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

/// What `#[input(...)]`, `#[loopback]` or `#[visitor]` says; the attribute is not printed back.
fn take_mark(errors: &mut Errors, attrs: &mut Vec<Attribute>) -> Option<(Mark, Option<OnError>)> {
    let mut mark = None;
    attrs.retain(|attr| {
        let found = if attr.path().is_ident("input") {
            let parsed = attr.parse_args_with(|input: ParseStream<'_>| attr::input(errors, input));
            let missing = || (TopicRef::Literal(check::stand_in()), None);
            let (topic, on_error) = errors.take(parsed).unwrap_or_else(missing);
            (Mark::Source(Source::Input(topic)), on_error)
        } else if attr.path().is_ident("loopback") {
            let on_error = check::handler_args(errors, attr, "its topic is `<group>-loop`");
            (Mark::Source(Source::Loopback(point(attr.path()))), on_error)
        } else if attr.path().is_ident("visitor") {
            let why = "a visit finds it by the type of its last parameter";
            let on_error = check::handler_args(errors, attr, why);
            check::ensure_no_dead_letter(errors, on_error.as_ref());
            (Mark::Visitor(point(attr.path())), on_error)
        } else {
            return true;
        };
        if mark.is_some() {
            check::one_mark(errors, attr.to_token_stream());
        }
        mark.get_or_insert(found);
        false
    });
    mark
}
