//! The arguments of the attributes. Must not know the items that the attributes are on.

use proc_macro2::{Span, TokenStream};
use syn::{
    Ident, LitStr, Path, Token, Type,
    parse::{Parse, ParseStream, Parser},
    token::Paren,
};

use crate::{
    edge::{self, EDGES, Edge, EdgeKind},
    options::{ProcessorOptions, TopicOptions},
    parse::{
        assigned, assigned_name, each, is_same_path, list, listed_types, literal, once, once_by,
        skip, twice, unknown,
    },
    policy::OnError,
    report::Errors,
    word::{TopicRef, named_type, table, unnamed_group},
};

/// The arguments of `#[processor]`.
#[derive(Default)]
pub(crate) struct ProcessorArgs {
    krate: Option<Path>,
    pub(crate) group: Option<LitStr>,
    pub(crate) input: Option<TopicRef>,
    /// Inputs after the first. They are a mistake: a function has one input.
    pub(crate) more_inputs: Vec<Path>,
    pub(crate) key: Option<Type>,
    /// The edges, in the order in which they are printed.
    pub(crate) edges: Vec<Edge>,
    /// The policies for all methods that handle records.
    pub(crate) on_error: Option<OnError>,
    pub(crate) options: ProcessorOptions,
}

const ONE_INPUT: &str =
    "a function reads one input; to read several inputs, put handlers on an `impl` block";

impl ProcessorArgs {
    pub(crate) fn parse(errors: &mut Errors, tokens: TokenStream) -> Self {
        let mut args = Self::default();
        let tokens = leading_group(errors, &mut args.group, tokens);
        each(errors, tokens, |errors, name, input| {
            args.parse_one(errors, name, input)
        });
        edge::sort(&mut args.edges);
        args
    }

    fn parse_one(
        &mut self,
        errors: &mut Errors,
        name: &Ident,
        input: ParseStream<'_>,
    ) -> syn::Result<()> {
        let word = name.to_string();
        match word.as_str() {
            "crate" => once(errors, name, &mut self.krate, assigned(input)?),
            "group" => once(errors, name, &mut self.group, assigned_name(input)?),
            "input" if input.peek(Paren) => {
                errors.at(
                    name,
                    format!("{ONE_INPUT}; for a single input, write `input = ...`"),
                );
                let mut inputs = list(input, TopicRef::parse)?.into_iter();
                self.input = inputs.next();
                let more = inputs.filter_map(TopicRef::into_path);
                self.more_inputs.extend(more);
            }
            "input" => {
                let input = assigned(input)?;
                once_by(errors, name, &mut self.input, input, ONE_INPUT);
            }
            "key" => {
                let key = named_type(errors, name, input)?;
                once(errors, name, &mut self.key, key);
            }
            "on_error" => {
                let on_error = OnError::parse(errors, input)?;
                once(errors, name, &mut self.on_error, on_error);
            }
            _ => {
                if let Some(kind) = edge::kind(&word) {
                    return self.parse_edges(errors, kind, name, input);
                }
                if let Some(parsed) = self.options.parse(errors, name, input) {
                    return parsed;
                }
                unknown(errors, name, input, &hint(&word), &known())?;
            }
        }
        Ok(())
    }

    fn parse_edges(
        &mut self,
        errors: &mut Errors,
        kind: &'static EdgeKind,
        name: &Ident,
        input: ParseStream<'_>,
    ) -> syn::Result<()> {
        let paths = match kind.only_one {
            Some(_) => vec![table(name, input)?],
            None => listed_types(errors, name, kind.declared_with, input)?,
        };
        for path in paths {
            let declared = self.edges.iter();
            let mut declared = declared.filter(|edge| edge.kind.keyword == kind.keyword);
            let number = declared.clone().count();
            let is_known = declared.any(|edge| is_same_path(&edge.path, &path));
            match kind.only_one {
                Some(rule) if number > 0 => twice(errors, name, rule),
                None if is_known => errors.at(&path, format!("this `{name}` is declared twice")),
                _ => self.edges.push(Edge { kind, number, path }),
            }
        }
        Ok(())
    }

    pub(crate) fn krate(&self, span: Span) -> Path {
        krate(&self.krate, span)
    }
}

/// The arguments of `#[processor]`, for error texts.
fn known() -> String {
    let edges = EDGES.iter().map(|kind| format!("`{}`, ", kind.keyword));
    let edges: String = edges.collect();
    let options = ProcessorOptions::KNOWN;
    format!("`group`, `input`, {edges}`key`, `on_error`, {options}, `crate`")
}

/// Says what the user may have meant by an argument that `#[processor]` does not have.
fn hint(word: &str) -> String {
    let meant = edge::meant(word).or(match word {
        "inputs" | "topic" | "stream" => Some("input"),
        "on_panic" | "on_decode" | "errors" | "error" | "retry" | "dead_letter" => Some("on_error"),
        _ => None,
    });
    if let Some(meant) = meant {
        return format!("; did you mean `{meant}`?");
    }
    let hint = match word {
        "loopback" | "loop" | "loops" => {
            "; for a loopback, mark a method of an `impl` block with `#[loopback]`"
        }
        "visitor" | "visitors" | "visit" => {
            "; for a visitor, mark a method of an `impl` block with `#[visitor]`"
        }
        "value" | "codec" | "partitioner" => {
            "; write this argument in the attribute of the stream or table"
        }
        _ => "",
    };
    hint.to_owned()
}

/// The arguments of `#[stream]`, `#[table]` and `#[message]`.
#[derive(Default)]
pub(crate) struct TopicArgs {
    krate: Option<Path>,
    /// The name of a stream, `#[stream("name")]`, or of a table's topic, `topic = "name"`.
    pub(crate) topic: Option<LitStr>,
    pub(crate) group: Option<LitStr>,
    pub(crate) key: Option<Type>,
    pub(crate) value: Option<Type>,
    pub(crate) options: TopicOptions,
}

/// The attributes on types, each with different arguments.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum TopicKind {
    Stream,
    Table,
    Message,
}

impl TopicArgs {
    pub(crate) fn parse(errors: &mut Errors, kind: TopicKind, tokens: TokenStream) -> Self {
        let mut args = Self::default();
        let tokens = match kind {
            TopicKind::Stream => args.leading_name(errors, tokens),
            TopicKind::Table => leading_group(errors, &mut args.group, tokens),
            TopicKind::Message => tokens,
        };
        each(errors, tokens, |errors, name, input| {
            args.parse_one(errors, kind, name, input)
        });
        args
    }

    fn parse_one(
        &mut self,
        errors: &mut Errors,
        kind: TopicKind,
        name: &Ident,
        input: ParseStream<'_>,
    ) -> syn::Result<()> {
        use TopicKind::{Message, Stream, Table};
        let is_table = kind == Table;
        let word = name.to_string();
        match (kind, word.as_str()) {
            (_, "crate") => once(errors, name, &mut self.krate, assigned(input)?),
            (Table, "group") => once(errors, name, &mut self.group, assigned_name(input)?),
            (Table, "topic") => once(errors, name, &mut self.topic, assigned_name(input)?),
            (Table | Stream, "key") => {
                let key = named_type(errors, name, input)?;
                once(errors, name, &mut self.key, key);
            }
            (Table | Stream, "value") => {
                let value = named_type(errors, name, input)?;
                once(errors, name, &mut self.value, value);
            }
            (_, word) => {
                if kind != Message
                    && let Some(parsed) = self.options.parse(errors, is_table, name, input)
                {
                    return parsed;
                }
                unknown(errors, name, input, topic_hint(kind, word), &kind.known())?;
            }
        }
        Ok(())
    }

    /// Takes the name of a stream, which stands before the arguments; returns the arguments.
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

impl TopicKind {
    /// The arguments, for error texts.
    fn known(self) -> String {
        match self {
            TopicKind::Stream => format!("`key`, `value`, {}, `crate`", TopicOptions::KNOWN),
            TopicKind::Table => {
                let options = TopicOptions::KNOWN_OF_TABLE;
                format!("`group`, `topic`, `key`, `value`, {options}, `crate`")
            }
            TopicKind::Message => "`crate`".to_owned(),
        }
    }
}

/// Says what the user may have meant by an argument that the attribute does not have.
fn topic_hint(kind: TopicKind, word: &str) -> &'static str {
    use TopicKind::{Message, Stream};
    match (kind, word) {
        (Stream, "coalesce") => {
            "; only a table has this argument, because every message of a stream is sent"
        }
        (Stream, "topic" | "name") => {
            "; the name of a stream comes first: `#[goka::stream(\"topic\")]`"
        }
        (Stream, "group") => "; a group owns tables, not streams",
        (Message, "key" | "codec" | "value" | "partitioner") => {
            "; write this argument in the attribute of the stream or table"
        }
        _ => "",
    }
}

/// Returns the path of goka: that of `crate = path`, for a dependency that was renamed, or `::goka`.
fn krate(named: &Option<Path>, span: Span) -> Path {
    let named = named.clone();
    named.unwrap_or_else(|| syn::parse_quote_spanned!(span=> ::goka))
}

/// Takes a name that stands first, where `group = "..."` should stand; returns the other arguments.
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
