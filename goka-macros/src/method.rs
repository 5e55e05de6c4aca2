//! The functions of a user that goka calls: what each function is called for, and how its mark (an attribute on it)
//! and its signature are written. Each kind of method is one row of `KINDS`. Must not know the processor that methods
//! belong to, nor what is printed.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, FnArg, GenericArgument, Ident, Meta, PathArguments, ReturnType, Type,
    parse::ParseStream,
};

use crate::{
    item::Function,
    name::stand_in,
    parse::{each, once, skip},
    policy::OnError,
    report::{Errors, point},
    signature::{self, Expected, Words},
    word::TopicRef,
};

/// One kind of method.
pub(crate) struct MethodKind {
    /// The name of the attribute that marks such a method. If the method handles records, also the name of the
    /// constructor of `goka::graph::Edge`.
    pub(crate) keyword: &'static str,
    parse: fn(&mut Errors, &Attribute) -> Mark,
    words: &'static Words,
    /// Whether the last parameter chooses the method, and is therefore required and owned.
    is_chosen_by_argument: bool,
    /// Whether the method is called for records, and not for rows.
    pub(crate) has_records: bool,
    /// First part of the error text if a function has this mark: why it must not. The rest of the text says what to
    /// do.
    on_function: &'static str,
}

/// All kinds, in the order in which they are printed.
static KINDS: [MethodKind; 3] = [
    MethodKind {
        keyword: "input",
        parse: parse_input,
        words: &HANDLER,
        is_chosen_by_argument: false,
        has_records: true,
        on_function: "the input of a function is an argument of its attribute, `#[goka::processor(input = ...)]`; to read several inputs",
    },
    MethodKind {
        keyword: "loopback",
        parse: parse_loopback,
        words: &HANDLER,
        is_chosen_by_argument: false,
        has_records: true,
        on_function: "a function handles only its input; to add a loopback",
    },
    MethodKind {
        keyword: "visitor",
        parse: parse_visitor,
        words: &VISITOR,
        is_chosen_by_argument: true,
        has_records: false,
        on_function: "a function handles only its input; to add a visitor",
    },
];

static HANDLER: Words = Words {
    what: "handler",
    last: "message",
    most: "at most one message",
};
static VISITOR: Words = Words {
    what: "visitor",
    last: "args",
    most: "its arguments as one value",
};

/// What a method is called for.
pub(crate) enum Cause {
    /// The records of a stream.
    Input(TopicRef),
    /// The records that the group sends to itself. The span is the place of the mark.
    Loopback(Span),
    /// The rows of the table, by a visit. The span is the place of the mark.
    Visitor(Span),
}

impl Cause {
    fn place(&self) -> usize {
        match self {
            Cause::Input(_) => 0,
            Cause::Loopback(_) => 1,
            Cause::Visitor(_) => 2,
        }
    }

    pub(crate) fn kind(&self) -> &'static MethodKind {
        &KINDS[self.place()]
    }
}

/// What the mark of a method says.
pub(crate) struct Mark {
    pub(crate) cause: Cause,
    on_error: Option<OnError>,
}

impl Mark {
    /// Returns the mark of a function. The attribute of the processor names the function's input.
    pub(crate) fn function(input: TopicRef) -> Self {
        Mark {
            cause: Cause::Input(input),
            on_error: None,
        }
    }

    /// Takes the mark off a method, because marks are not printed. Returns `None` if the method has no mark.
    pub(crate) fn take(errors: &mut Errors, attrs: &mut Vec<Attribute>) -> Option<Self> {
        let mut mark = None;
        attrs.retain(|attr| {
            let Some(kind) = marked(attr) else {
                return true;
            };
            let found = (kind.parse)(errors, attr);
            if mark.is_some() {
                errors.at(
                    attr,
                    "a method takes only one of `#[input]`, `#[loopback]` and `#[visitor]`; to share code, call the same method from several marked methods",
                );
            }
            mark.get_or_insert(found);
            false
        });
        mark
    }
}

/// Takes the marks off a function and reports them: a function is the handler of its input and nothing else.
pub(crate) fn ensure_unmarked(errors: &mut Errors, attrs: &mut Vec<Attribute>) {
    attrs.retain(|attr| {
        let Some(MethodKind { on_function, .. }) = marked(attr) else {
            return true;
        };
        errors.at(
            attr,
            format!("{on_function}, put `#[goka::processor(...)]` on an `impl` block and mark its methods"),
        );
        false
    });
}

fn marked(attr: &Attribute) -> Option<&'static MethodKind> {
    let mut kinds = KINDS.iter();
    kinds.find(|kind| attr.path().is_ident(kind.keyword))
}

/// Parses `#[input(topic)]` and `#[input(topic, on_error = ...)]`.
fn parse_input(errors: &mut Errors, attr: &Attribute) -> Mark {
    let parsed = attr.parse_args_with(|input: ParseStream<'_>| {
        let topic = input.parse()?;
        if !input.is_empty() {
            input.parse::<syn::Token![,]>()?;
        }
        let on_error = parse_on_error(errors, "#[input(...)]", input.parse()?);
        Ok((topic, on_error))
    });
    let missing = || (TopicRef::Literal(stand_in()), None);
    let (topic, on_error) = errors.take(parsed).unwrap_or_else(missing);
    Mark {
        cause: Cause::Input(topic),
        on_error,
    }
}

/// Parses `#[loopback]` and `#[loopback(on_error = ...)]`.
fn parse_loopback(errors: &mut Errors, attr: &Attribute) -> Mark {
    Mark {
        cause: Cause::Loopback(point(attr.path())),
        on_error: parse_only_on_error(
            errors,
            attr,
            "the topic of a loopback is always `<group>-loop`",
        ),
    }
}

/// Parses `#[visitor]` and `#[visitor(on_error = ...)]`. Dead letters are not allowed, because a visit has no record.
fn parse_visitor(errors: &mut Errors, attr: &Attribute) -> Mark {
    let why = "a visit finds its visitor by the type of the visitor's last parameter";
    let on_error = parse_only_on_error(errors, attr, why);
    if let Some(name) = on_error.as_ref().and_then(OnError::dead_letter) {
        errors.at(
            name,
            "a visitor handles rows, and a row cannot become a dead letter: write `fail`, `skip` or `retry(...)`",
        );
    }
    Mark {
        cause: Cause::Visitor(point(attr.path())),
        on_error,
    }
}

fn parse_only_on_error(errors: &mut Errors, attr: &Attribute, why: &str) -> Option<OnError> {
    let name = attr.path().to_token_stream();
    match &attr.meta {
        Meta::Path(_) => None,
        Meta::List(list) if begins_with_name(&list.tokens) => {
            parse_on_error(errors, &format!("#[{name}(...)]"), list.tokens.clone())
        }
        Meta::List(_) | Meta::NameValue(_) => {
            errors.at(attr, format!("`#[{name}]` takes only `on_error`: {why}"));
            None
        }
    }
}

fn begins_with_name(tokens: &TokenStream) -> bool {
    let mut tokens = tokens.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), next) => name == "on_error" || next.is_some(),
        _ => false,
    }
}

/// Parses `on_error`, the only argument that all marks have.
fn parse_on_error(errors: &mut Errors, of: &str, tokens: TokenStream) -> Option<OnError> {
    let mut on_error = None;
    each(errors, tokens, |errors, name, input| {
        if name != "on_error" {
            errors.at(
                name,
                format!(
                    "unknown argument `{name}`\nthe only named argument of `{of}` is `on_error`"
                ),
            );
            return skip(input);
        }
        let parsed = OnError::parse(errors, input)?;
        once(errors, name, &mut on_error, parsed);
        Ok(())
    });
    on_error
}

/// A function of the user that goka calls.
pub(crate) struct Method {
    pub(crate) cause: Cause,
    pub(crate) callee: Callee,
    pub(crate) argument: Option<Argument>,
    /// The policies of the method itself. If `None`, a method that handles records has the policies of the processor.
    pub(crate) on_error: Option<OnError>,
}

/// What is needed to call a function.
pub(crate) struct Callee {
    pub(crate) name: Ident,
    /// `#[cfg(...)]`s of the function, copied to whatever is printed for it.
    pub(crate) cfgs: Vec<Attribute>,
    /// Whether the function is an `async fn`.
    pub(crate) waits: bool,
    /// Where to point if the context is the context of another processor.
    pub(crate) context: Span,
    /// Where to point if the return type is wrong: the return type, or the function's name if no return type is
    /// written.
    pub(crate) returns: TokenStream,
}

/// The last parameter of a method: a message, or the arguments of a visit.
pub(crate) struct Argument {
    /// The type of the parameter; for a message, without the `Option`.
    pub(crate) ty: Type,
    /// Whether the message is written as an `Option`, whose `None` is a tombstone.
    pub(crate) tombstones: bool,
}

impl Method {
    /// Parses the signature. If the signature is wrong, reports why, and returns the cause of the method as the error.
    pub(crate) fn parse(
        errors: &mut Errors,
        mark: Mark,
        function: &Function,
        is_method: bool,
    ) -> Result<Self, Cause> {
        let Mark { cause, on_error } = mark;
        let kind = cause.kind();
        let expected = Expected::new(kind.words, &function.signature, is_method);
        let Some((callee, last)) = Callee::parse(errors, function, is_method, &expected) else {
            return Err(cause);
        };
        let argument = match kind.is_chosen_by_argument {
            false => last.map(Argument::message),
            true => {
                let args = signature::ensure_args(errors, last, &callee.name, &expected);
                let Some(ty) = args else { return Err(cause) };
                let tombstones = false;
                Some(Argument { ty, tombstones })
            }
        };
        Ok(Method {
            cause,
            callee,
            argument,
            on_error,
        })
    }

    /// Returns what no two methods of a processor may share: a stream, the loopback, or the type of a visit's
    /// arguments.
    pub(crate) fn claim(&self) -> (usize, String) {
        let text = match (&self.cause, &self.argument) {
            (Cause::Input(topic), _) => topic.to_token_stream(),
            (Cause::Loopback(_), _) | (Cause::Visitor(_), None) => TokenStream::new(),
            (Cause::Visitor(_), Some(args)) => args.ty.to_token_stream(),
        };
        (self.cause.place(), text.to_string())
    }
}

/// Sorts methods into the order in which they are printed: by kind, and within a kind in the order of the `impl`
/// block.
pub(crate) fn sort(methods: &mut [Method]) {
    methods.sort_by_key(|method| method.cause.place());
}

impl Callee {
    /// Parses the signature of a function. Also returns the type of the parameter after the context, if there is one.
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

impl Argument {
    fn message(ty: Type) -> Self {
        if let Type::Path(path) = &ty
            && let Some(last) = path.path.segments.last()
            && last.ident == "Option"
            && let PathArguments::AngleBracketed(args) = &last.arguments
            && let Some(GenericArgument::Type(inner)) = args.args.first()
        {
            return Argument {
                ty: inner.clone(),
                tombstones: true,
            };
        }
        Argument {
            ty,
            tombstones: false,
        }
    }
}
