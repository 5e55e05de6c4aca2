//! Parses values of arguments (words, types and topics), and says what to write if something else stands in their
//! place. Must not know which argument a value belongs to.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Ident, Lit, LitStr, Path, Token, Type,
    parse::{Parse, ParseStream},
};

use crate::report::Errors;

/// A topic named by a literal, or by a type declared with `#[stream]`.
#[derive(Clone)]
pub(crate) enum TopicRef {
    Literal(LitStr),
    Path(Path),
}

impl TopicRef {
    pub(crate) fn into_path(self) -> Option<Path> {
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

/// Parses `= word`, one of the words in `known`. An unknown word is returned too, and the caller reports it.
pub(crate) fn word(name: &Ident, input: ParseStream<'_>, known: &[&str]) -> syn::Result<Ident> {
    input.parse::<Token![=]>()?;
    let meant = |text: &str| {
        let text = plain(text);
        known.iter().find(|word| plain(word) == text)
    };
    let words = || listed(known);
    if input.peek(Lit) {
        let literal: Lit = input.parse()?;
        let word = match &literal {
            Lit::Str(text) => meant(&text.value()),
            _ => None,
        };
        let text = match word {
            Some(word) => format!("write `{name} = {word}`, without quotes"),
            None => format!(
                "`{name}` must be one of these words, without quotes: {}",
                words()
            ),
        };
        return Err(syn::Error::new_spanned(literal, text));
    }
    let refused = |span| {
        syn::Error::new(
            span,
            format!("`{name}` must be one of these words: {}", words()),
        )
    };
    let begin = input.span();
    let path = input.call(Path::parse_mod_style);
    let path = path.map_err(|error| refused(error.span()))?;
    let Some(last) = path.segments.last() else {
        return Err(refused(begin));
    };
    let word = meant(&last.ident.to_string());
    let is_path = path.leading_colon.is_some() || path.segments.len() > 1;
    match word {
        Some(word) if is_path => {
            let text = format!("write `{name} = {word}`, without a path");
            Err(syn::Error::new_spanned(path, text))
        }
        Some(word) if last.ident != word => {
            let text = format!("write `{name} = {word}`");
            Err(syn::Error::new_spanned(path, text))
        }
        None if is_path => Err(syn::Error::new_spanned(
            path,
            format!(
                "`{name}` must be one of these words, without a path: {}",
                words()
            ),
        )),
        // The caller reports an unknown word, because the caller knows what the words mean.
        Some(_) | None => Ok(last.ident.clone()),
    }
}

/// Parses `= Type`. A string that names a type is reported, and then taken for the type, so that there is only one
/// error.
pub(crate) fn named_type(
    errors: &mut Errors,
    name: &Ident,
    input: ParseStream<'_>,
) -> syn::Result<Type> {
    input.parse::<Token![=]>()?;
    if !input.peek(Lit) {
        return input.parse();
    }
    let literal: Lit = input.parse()?;
    if let Lit::Str(text) = &literal
        && let Ok(meant) = text.parse()
    {
        let written = text.value();
        errors.at(text, format!("write `{name} = {written}`, without quotes"));
        return Ok(meant);
    }
    let text = format!("`{name}` takes a type: `{name} = MyType`");
    Err(syn::Error::new_spanned(literal, text))
}

/// Parses `= Codec`: a codec in `known`, or a type of the user.
pub(crate) fn codec(name: &Ident, input: ParseStream<'_>, known: &[&str]) -> syn::Result<Type> {
    input.parse::<Token![=]>()?;
    if !input.peek(Lit) {
        return input.parse();
    }
    let literal: Lit = input.parse()?;
    let meant = match &literal {
        Lit::Str(text) => known
            .iter()
            .find(|codec| plain(codec) == plain(&text.value())),
        _ => None,
    };
    let text = match meant {
        Some(codec) => format!("write `{name} = {codec}`, without quotes"),
        None => format!("`{name}` takes a type: {}, or your own type", listed(known)),
    };
    Err(syn::Error::new_spanned(literal, text))
}

/// Parses `= Table`.
pub(crate) fn table(name: &Ident, input: ParseStream<'_>) -> syn::Result<Path> {
    input.parse::<Token![=]>()?;
    if !input.peek(Lit) {
        return input.parse();
    }
    let literal: Lit = input.parse()?;
    let text = format!(
        "`{name}` takes the type of a table, not its name: declare one with `#[goka::table(group = \"...\", value = ...)] struct MyTable;`, and write `{name} = MyTable`"
    );
    Err(syn::Error::new_spanned(literal, text))
}

/// Reports a name that stands first and belongs to no argument, and takes it for the name of the group.
pub(crate) fn unnamed_group(
    errors: &mut Errors,
    input: ParseStream<'_>,
) -> syn::Result<Option<LitStr>> {
    if !input.peek(LitStr) {
        return Ok(None);
    }
    let group: LitStr = input.parse()?;
    let written = group.value();
    errors.at(
        &group,
        format!("name the argument: `group = \"{written}\"`"),
    );
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(Some(group))
}

/// Returns the text without case and punctuation, so that `ExactlyOnce`, `exactly-once` and `EXACTLY_ONCE` are the
/// same word.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn listed(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
