//! The arguments of the attributes. A wrong argument is reported and skipped, so that the rest of
//! the attribute is still checked. Must not know the items that the attributes are on.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Ident, Lit, LitBool, LitStr, Path, Token, Type,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    token::Paren,
};

use crate::{
    policy::OnError,
    report::Errors,
    word::{codec, named_type, table, unnamed_group, word},
};

/// A topic named by a literal, or by a type declared with `#[stream]`.
#[derive(Clone)]
pub(crate) enum TopicRef {
    Literal(LitStr),
    Path(Path),
}

impl TopicRef {
    fn into_path(self) -> Option<Path> {
        match self {
            TopicRef::Literal(_) => None,
            TopicRef::Path(path) => Some(path),
        }
    }
}

impl Parse for TopicRef {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(LitStr) {
            input.parse().map(TopicRef::Literal)
        } else if input.peek(Ident)
            || input.peek(Token![::])
            || input.peek(Token![crate])
            || input.peek(Token![self])
            || input.peek(Token![super])
        {
            input.parse().map(TopicRef::Path)
        } else {
            Err(input.error(
                "expected a topic: a string literal, or a type declared with `#[goka::stream(...)]`",
            ))
        }
    }
}

impl ToTokens for TopicRef {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            TopicRef::Literal(literal) => literal.to_tokens(tokens),
            TopicRef::Path(path) => path.to_tokens(tokens),
        }
    }
}

#[derive(Default)]
pub(crate) struct ProcessorArgs {
    krate: Option<Path>,
    pub(crate) group: Option<LitStr>,
    pub(crate) input: Option<TopicRef>,
    /// Those that are too many.
    pub(crate) more_inputs: Vec<Path>,
    pub(crate) key: Option<Type>,
    pub(crate) table: Option<Path>,
    pub(crate) outputs: Vec<Path>,
    pub(crate) joins: Vec<Path>,
    pub(crate) lookups: Vec<Path>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) guarantee: Option<Ident>,
}

impl ProcessorArgs {
    pub(crate) fn parse(errors: &mut Errors, tokens: TokenStream) -> Self {
        let mut args = Self::default();
        let tokens = leading_group(errors, &mut args.group, tokens);
        each(errors, tokens, |errors, name, input| {
            match name.to_string().as_str() {
                "crate" => once(errors, name, &mut args.krate, assigned(input)?),
                "group" => once(errors, name, &mut args.group, name_of(input)?),
                "input" if input.peek(Paren) => {
                    errors.at(name, format!("{ONE_INPUT}; of one it is `input = ...`"));
                    let mut inputs = list(input, TopicRef::parse)?.into_iter();
                    args.input = inputs.next();
                    args.more_inputs
                        .extend(inputs.filter_map(TopicRef::into_path));
                }
                "input" => once(errors, name, &mut args.input, assigned(input)?),
                "key" => {
                    let key = named_type(errors, name, input)?;
                    once(errors, name, &mut args.key, key);
                }
                "table" => once(errors, name, &mut args.table, table(name, input)?),
                "output" => listed(errors, name, &mut args.outputs, STREAMS, input)?,
                "join" => listed(errors, name, &mut args.joins, TABLES, input)?,
                "lookup" => listed(errors, name, &mut args.lookups, TABLES, input)?,
                "on_error" => {
                    let on_error = OnError::parse(errors, input)?;
                    once(errors, name, &mut args.on_error, on_error);
                }
                "guarantee" => {
                    let guarantee = word(name, input, &GUARANTEES)?;
                    once(errors, name, &mut args.guarantee, guarantee);
                }
                other => {
                    let hint = match other {
                        "outputs" | "emit" | "emits" => "; did you mean `output`?",
                        "inputs" | "topic" | "stream" => "; did you mean `input`?",
                        "state" | "persist" | "tables" => "; did you mean `table`?",
                        "joins" => "; did you mean `join`?",
                        "lookups" => "; did you mean `lookup`?",
                        "loopback" | "loop" | "loops" => {
                            "; a loopback has a handler of its own: mark a method of an `impl` block with `#[loopback]`"
                        }
                        "visitor" | "visitors" | "visit" => {
                            "; mark a method of an `impl` block with `#[visitor]`"
                        }
                        "on_panic" | "on_decode" | "errors" | "error" | "retry" | "dead_letter" => {
                            "; did you mean `on_error`?"
                        }
                        "value" | "codec" | "partitioner" => {
                            "; it belongs to the type of a stream or table"
                        }
                        _ => "",
                    };
                    unknown(errors, name, input, hint, PROCESSOR)?;
                }
            }
            Ok(())
        });
        args
    }

    pub(crate) fn krate(&self, span: Span) -> Path {
        krate(&self.krate, span)
    }
}

/// The arguments of `#[input(...)]`: a topic, and what is done about its records.
pub(crate) fn input(
    errors: &mut Errors,
    input: ParseStream<'_>,
) -> syn::Result<(TopicRef, Option<OnError>)> {
    let topic = input.parse()?;
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    let mut on_error = None;
    handler_args(errors, "#[input(...)]", input.parse()?, &mut on_error);
    Ok((topic, on_error))
}

/// The arguments that all handlers have.
pub(crate) fn handler_args(
    errors: &mut Errors,
    of: &str,
    tokens: TokenStream,
    on_error: &mut Option<OnError>,
) {
    each(errors, tokens, |errors, name, input| {
        if name != "on_error" {
            errors.at(
                name,
                format!("unknown argument `{name}`\n`{of}` takes `on_error` alone, beside a topic"),
            );
            return skip(input);
        }
        let parsed = OnError::parse(errors, input)?;
        once(errors, name, on_error, parsed);
        Ok(())
    });
}

#[derive(Default)]
pub(crate) struct TopicArgs {
    krate: Option<Path>,
    /// The name of a stream, `#[stream("name")]`, or of a table's topic, `topic = "name"`.
    pub(crate) topic: Option<LitStr>,
    pub(crate) group: Option<LitStr>,
    pub(crate) key: Option<Type>,
    pub(crate) value: Option<Type>,
    pub(crate) codec: Option<Type>,
    pub(crate) partitioner: Option<Ident>,
    pub(crate) coalesce: Option<LitBool>,
}

/// The attributes on types: each knows other arguments.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum TopicKind {
    Stream,
    Table,
    Message,
}

impl TopicArgs {
    pub(crate) fn parse(errors: &mut Errors, kind: TopicKind, tokens: TokenStream) -> Self {
        use TopicKind::{Message, Stream, Table};
        let mut args = Self::default();
        let tokens = match kind {
            Stream => args.leading_name(errors, tokens),
            Table => leading_group(errors, &mut args.group, tokens),
            Message => tokens,
        };
        each(errors, tokens, |errors, name, input| {
            match (kind, name.to_string().as_str()) {
                (_, "crate") => once(errors, name, &mut args.krate, assigned(input)?),
                (Table, "group") => once(errors, name, &mut args.group, name_of(input)?),
                (Table, "topic") => once(errors, name, &mut args.topic, name_of(input)?),
                (Table | Stream, "key") => {
                    let key = named_type(errors, name, input)?;
                    once(errors, name, &mut args.key, key);
                }
                (Table | Stream, "value") => {
                    let value = named_type(errors, name, input)?;
                    once(errors, name, &mut args.value, value);
                }
                (Table | Stream, "codec") => {
                    once(errors, name, &mut args.codec, codec(name, input, &CODECS)?);
                }
                (Table | Stream, "partitioner") => {
                    let partitioner = word(name, input, &PARTITIONERS)?;
                    once(errors, name, &mut args.partitioner, partitioner);
                }
                (Table, "coalesce") => {
                    once(errors, name, &mut args.coalesce, assigned(input)?);
                }
                (_, other) => {
                    let hint = match (kind, other) {
                        (Stream, "coalesce") => {
                            "; it belongs to the type of a table: every message of a stream is sent"
                        }
                        (Stream, "topic" | "name") => {
                            "; the name of a stream comes first: `#[goka::stream(\"topic\")]`"
                        }
                        (Stream, "group") => "; a group owns tables, not streams",
                        (Message, "key" | "codec" | "value" | "partitioner") => {
                            "; it belongs to the type of a stream or table"
                        }
                        _ => "",
                    };
                    let known = match kind {
                        Stream => STREAM,
                        Table => TABLE,
                        Message => "`crate`",
                    };
                    unknown(errors, name, input, hint, known)?;
                }
            }
            Ok(())
        });
        args
    }

    fn leading_name(&mut self, errors: &mut Errors, tokens: TokenStream) -> TokenStream {
        let parser = |input: ParseStream<'_>| {
            let is_argument = input.peek2(Token![=]) || input.is_empty();
            if !is_argument {
                self.topic = errors.take(literal(input));
                skip(input)?;
                input.parse::<Option<Token![,]>>()?;
            }
            input.parse::<TokenStream>()
        };
        let rest = parser.parse2(tokens);
        errors.take(rest).unwrap_or_default()
    }

    pub(crate) fn krate(&self, span: Span) -> Path {
        krate(&self.krate, span)
    }
}

const GUARANTEES: [&str; 2] = ["at_least_once", "exactly_once"];
const PARTITIONERS: [&str; 2] = ["murmur2", "fnv1a"];
const CODECS: [&str; 4] = ["Json", "MsgPack", "Raw", "Text"];
const PROCESSOR: &str = "`group`, `input`, `output`, `table`, `join`, `lookup`, `key`, `on_error`, `guarantee`, `crate`";
const STREAMS: &str = "`#[goka::stream(\"topic\")]`";
const TABLES: &str = "`#[goka::table(group = \"...\")]`";
const ONE_INPUT: &str = "a function reads one input; for several, put handlers on an `impl` block";
const STREAM: &str = "`key`, `value`, `codec`, `partitioner`, `crate`";
const TABLE: &str = "`group`, `topic`, `key`, `value`, `codec`, `partitioner`, `coalesce`, `crate`";

/// `crate = path`, for a dependency that was renamed.
fn krate(named: &Option<Path>, span: Span) -> Path {
    let named = named.clone();
    named.unwrap_or_else(|| syn::parse_quote_spanned!(span=> ::goka))
}

/// `name = value` or `name(values)`, separated by commas.
pub(crate) fn each(
    errors: &mut Errors,
    tokens: TokenStream,
    mut one: impl FnMut(&mut Errors, &Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let argument = match input.call(Ident::parse_any) {
                Ok(name) => one(errors, &name, input),
                Err(_) => Err(input.error("expected an argument, `name = value`")),
            };
            if errors.take(argument).is_none() {
                skip(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    let parsed = parser.parse2(tokens);
    errors.take(parsed);
}

/// What is behind a name that stands first, where it should be `group = "..."`.
fn leading_group(
    errors: &mut Errors,
    group: &mut Option<LitStr>,
    tokens: TokenStream,
) -> TokenStream {
    let mut found = None;
    let parser = |input: ParseStream<'_>| {
        found = unnamed_group(errors, input)?;
        input.parse::<TokenStream>()
    };
    let rest = parser.parse2(tokens);
    *group = found;
    errors.take(rest).unwrap_or_default()
}

/// To the end of this argument.
pub(crate) fn skip(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

pub(crate) fn assigned<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn name_of(input: ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Token![=]>()?;
    literal(input)
}

/// A name that other names are made of, and that is therefore known when the macro runs.
pub(crate) fn literal(input: ParseStream<'_>) -> syn::Result<LitStr> {
    match input.peek(LitStr) {
        true => input.parse(),
        false => Err(input.error(
            "expected a string literal: names of groups and topics are checked when compiling",
        )),
    }
}

/// `name = X` or `name(X, Y)`.
fn listed(
    errors: &mut Errors,
    name: &Ident,
    to: &mut Vec<Path>,
    of: &str,
    input: ParseStream<'_>,
) -> syn::Result<()> {
    let path = |input: ParseStream<'_>| match input.peek(Lit) {
        true => Err(input.error(format!("expected a type declared with {of}"))),
        false => input.parse(),
    };
    let found = if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        vec![path(input)?]
    } else {
        list(input, path)?
    };
    if found.is_empty() {
        errors.at(
            name,
            format!("`{name}` names nothing: list types declared with {of}"),
        );
    }
    for path in found {
        let text = quote!(#path).to_string();
        match to.iter().any(|before| quote!(#before).to_string() == text) {
            true => errors.at(&path, format!("this `{name}` is declared twice")),
            false => to.push(path),
        }
    }
    Ok(())
}

/// `(X, Y)`.
fn list<T>(
    input: ParseStream<'_>,
    one: impl Fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let content;
    syn::parenthesized!(content in input);
    let mut found = Vec::new();
    while !content.is_empty() {
        match one(&content) {
            Ok(item) => found.push(item),
            Err(error) => {
                // What is left unread would be a second error.
                content.parse::<TokenStream>()?;
                return Err(error);
            }
        }
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(found)
}

pub(crate) fn once<T>(errors: &mut Errors, name: &Ident, slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
        return;
    }
    let rule = match name.to_string().as_str() {
        "table" => "a group has one table; give it a struct to keep several values",
        "input" => ONE_INPUT,
        _ => "one is enough",
    };
    errors.at(name, format!("`{name}` is given twice: {rule}"));
}

pub(crate) fn unknown(
    errors: &mut Errors,
    name: &Ident,
    input: ParseStream<'_>,
    hint: &str,
    known: &str,
) -> syn::Result<()> {
    errors.at(
        name,
        format!("unknown argument `{name}`{hint}\nknown arguments are {known}"),
    );
    skip(input)
}
