//! Values that are words or types, and what to write instead of a string or a path in their place. Must not know what
//! they are for.

use syn::{Ident, Lit, LitStr, Path, Token, Type, parse::ParseStream};

use crate::report::Errors;

/// `= word`, for an argument that takes one of a few.
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
            None => format!("`{name}` takes a word without quotes: {}", words()),
        };
        return Err(syn::Error::new_spanned(literal, text));
    }
    let refused = |span| syn::Error::new(span, format!("`{name}` takes a word: {}", words()));
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
            let text = format!("write `{name} = {word}`: a word, and no path");
            Err(syn::Error::new_spanned(path, text))
        }
        Some(word) if last.ident != word => {
            let text = format!("write `{name} = {word}`");
            Err(syn::Error::new_spanned(path, text))
        }
        None if is_path => Err(syn::Error::new_spanned(
            path,
            format!("`{name}` takes a word, and no path: {}", words()),
        )),
        // Whoever knows the words says that this is none.
        Some(_) | None => Ok(last.ident.clone()),
    }
}

/// `= Type`. A string that names one is reported, and taken for the type that it means, so that it is the only error.
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

/// `= Codec`.
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
        None => format!(
            "`{name}` takes a type: {}, or one of your own",
            listed(known)
        ),
    };
    Err(syn::Error::new_spanned(literal, text))
}

/// `= Table`.
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

/// Takes a name that stands first, without saying what it names: it is that of a group.
pub(crate) fn unnamed_group(
    errors: &mut Errors,
    input: ParseStream<'_>,
) -> syn::Result<Option<LitStr>> {
    if !input.peek(LitStr) {
        return Ok(None);
    }
    let group: LitStr = input.parse()?;
    let written = group.value();
    errors.at(&group, format!("name its group: `group = \"{written}\"`"));
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(Some(group))
}

/// As others spell it: `ExactlyOnce`, `exactly-once` and `EXACTLY_ONCE` are one.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn listed(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
