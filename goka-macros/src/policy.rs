//! The argument `on_error`: what happens to records that cannot be processed. Parses and prints it. Must not know the
//! items that the argument is on.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, LitInt, LitStr, Token, ext::IdentExt, parse::ParseStream, token::Paren};

use crate::{
    name::ensure_name,
    parse::{assigned, each, literal, once, skip, unknown},
    report::{Errors, at},
};

/// What happens to records that cannot be processed.
#[derive(Clone)]
pub(crate) enum OnError {
    /// `on_error = policy`
    All(Policy),
    /// `on_error(stage = policy, ...)`
    Each(Vec<(Ident, Policy)>),
}

#[derive(Clone)]
pub(crate) struct Policy {
    retry: Option<Retry>,
    last: Last,
}

#[derive(Clone)]
struct Retry {
    name: Ident,
    times: LitInt,
    /// The first and the longest backoff, in milliseconds.
    backoff: Option<(LitInt, LitInt)>,
}

/// The last step of a policy, after all retries if there are any. Each variant holds the step's name as the user wrote
/// it.
#[derive(Clone)]
enum Last {
    Fail(Ident),
    Skip(Ident),
    DeadLetter(Ident, Option<LitStr>),
}

const STAGES: &str = "`decode`, `handler`, `panic`";
const POLICIES: &str = "`fail`, `skip`, `dead_letter`, `dead_letter(\"topic\")`, `retry(times)`";
const LAST: &str = "`fail`, `skip`, `dead_letter` or `dead_letter(\"topic\")`";

impl OnError {
    /// Parses what follows the name of the argument. Reports mistakes, and leaves out each policy that is wrong.
    pub(crate) fn parse(errors: &mut Errors, input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Paren) {
            input.parse::<Token![=]>()?;
            return Policy::parse(errors, input).map(OnError::All);
        }
        let content;
        let parenthesis = syn::parenthesized!(content in input);
        let mut stages: Vec<(Ident, Policy)> = Vec::new();
        each(errors, content.parse()?, |errors, stage, input| {
            match stage.to_string().as_str() {
                "decode" | "handler" | "panic" => {}
                other => {
                    let hint = match other {
                        "error" | "run" => "; did you mean `handler`?",
                        "bytes" | "decoding" | "parse" => "; did you mean `decode`?",
                        "fail" | "skip" | "dead_letter" | "retry" => {
                            "; to set the policy of all stages, write `on_error = ...`"
                        }
                        _ => "",
                    };
                    errors.at(
                        stage,
                        format!("unknown stage `{other}`{hint}\nthe stages are {STAGES}"),
                    );
                    return skip(input);
                }
            }
            input.parse::<Token![=]>()?;
            let policy = Policy::parse(errors, input)?;
            if let Some(retry) = policy.retry.as_ref().filter(|_| stage == "decode") {
                let text = format!(
                    "a record that does not decode cannot be retried, because its bytes do not change: write {LAST}"
                );
                return Err(syn::Error::new_spanned(&retry.name, text));
            }
            match stages.iter().any(|(before, _)| before == stage) {
                true => errors.at(
                    stage,
                    format!("`{stage}` is given twice: remove one of the two"),
                ),
                false => stages.push((stage.clone(), policy)),
            }
            Ok(())
        });
        if stages.is_empty() && errors.is_empty() {
            let span = parenthesis.span.join();
            let empty = syn::Error::new(
                span,
                format!(
                    "`on_error(...)` is empty: name a stage ({STAGES}), or write `on_error = ...` for all stages"
                ),
            );
            return Err(empty);
        }
        Ok(OnError::Each(stages))
    }

    fn policies(&self) -> Vec<&Policy> {
        match self {
            OnError::All(policy) => vec![policy],
            OnError::Each(stages) => stages.iter().map(|(_, policy)| policy).collect(),
        }
    }

    /// Returns the name of the first policy that writes dead letters, if there is one.
    pub(crate) fn dead_letter(&self) -> Option<&Ident> {
        self.policies()
            .into_iter()
            .find_map(|policy| match &policy.last {
                Last::DeadLetter(name, _) => Some(name),
                Last::Fail(_) | Last::Skip(_) => None,
            })
    }

    /// Prints the policies as a constant of the `impl` of an edge.
    pub(crate) fn print(&self) -> TokenStream {
        let (span, value) = match self {
            OnError::All(policy) => {
                let (span, policy) = (policy.span(), policy.print());
                (span, quote_spanned!(span=> __goka::OnError::all(#policy)))
            }
            OnError::Each(stages) => {
                let first = stages.first().map(|(stage, _)| stage.span());
                let span = first.unwrap_or_else(Span::call_site);
                let each = stages.iter().map(|(stage, policy)| {
                    let policy = policy.print();
                    quote_spanned!(stage.span()=> .#stage(#policy))
                });
                (span, quote_spanned!(span=> __goka::OnError::FAIL #(#each)*))
            }
        };
        quote_spanned!(span=> const ON_ERROR: __goka::OnError = #value;)
    }

    /// Prints the constants with which goka checks the topics of dead letters.
    pub(crate) fn checks(&self, cfgs: &[syn::Attribute], processor: &TokenStream) -> TokenStream {
        let checks = self.policies().into_iter().filter_map(|policy| {
            let Last::DeadLetter(name, topic) = &policy.last else {
                return None;
            };
            let span = topic.as_ref().map_or(name.span(), LitStr::span);
            let (last, processor) = (policy.last.print(), at(span, processor));
            Some(quote_spanned! {span=>
                #(#cfgs)*
                const _: () = __goka::check::dead_letter::<#processor>(#last);
            })
        });
        checks.collect()
    }
}

impl Policy {
    fn parse(errors: &mut Errors, input: ParseStream<'_>) -> syn::Result<Self> {
        let name = named(input)?;
        if name != "retry" {
            let last = Last::parse(errors, name, input, POLICIES)?;
            return Ok(Policy { retry: None, last });
        }
        let how = "`retry(5)`, or `retry(5, then = dead_letter)`";
        if !input.peek(Paren) {
            return Err(syn::Error::new_spanned(
                name,
                format!("`retry` needs the number of retries: {how}"),
            ));
        }
        let content;
        syn::parenthesized!(content in input);
        let Ok(times) = content.parse::<LitInt>() else {
            // Otherwise syn would report tokens that are left unread as a second error.
            content.parse::<TokenStream>()?;
            return Err(syn::Error::new_spanned(
                name,
                format!("the first argument of `retry` is the number of retries: {how}"),
            ));
        };
        if times.base10_parse::<u32>()? == 0 {
            content.parse::<TokenStream>()?;
            let text = format!("`retry(0)` never retries: write {LAST}");
            return Err(syn::Error::new_spanned(times, text));
        }
        content.parse::<Option<Token![,]>>()?;
        let (mut backoff, mut last) = (None, None);
        each(errors, content.parse()?, |errors, argument, input| {
            match argument.to_string().as_str() {
                "backoff_ms" => {
                    let value = parse_backoff(input)?;
                    once(errors, argument, &mut backoff, value);
                }
                "then" => {
                    input.parse::<Token![=]>()?;
                    let name = named(input)?;
                    if name == "retry" {
                        errors.at(name, format!("`then` cannot be a retry: write {LAST}"));
                        return skip(input);
                    }
                    let value = Last::parse(errors, name, input, LAST)?;
                    once(errors, argument, &mut last, value);
                }
                other => {
                    let hint = match other {
                        "backoff" | "delay" | "wait" | "wait_ms" => "; did you mean `backoff_ms`?",
                        "last" | "finally" | "or" => "; did you mean `then`?",
                        _ => "",
                    };
                    unknown(errors, argument, input, hint, "`then`, `backoff_ms`")?;
                }
            }
            Ok(())
        });
        Ok(Policy {
            last: last.unwrap_or_else(|| Last::Fail(format_ident!("fail", span = name.span()))),
            retry: Some(Retry {
                name,
                times,
                backoff,
            }),
        })
    }

    fn span(&self) -> Span {
        match &self.retry {
            Some(retry) => retry.name.span(),
            None => self.last.name().span(),
        }
    }

    fn print(&self) -> TokenStream {
        let last = self.last.print();
        let Some(Retry {
            name,
            times,
            backoff,
        }) = &self.retry
        else {
            return last;
        };
        let span = name.span();
        let backoff = backoff
            .as_ref()
            .map(|(first, longest)| quote_spanned!(span=> .backoff_ms(#first, #longest)));
        let then =
            (!matches!(self.last, Last::Fail(_))).then(|| quote_spanned!(span=> .then(#last)));
        quote_spanned!(span=> __goka::Policy::retry(#times) #backoff #then)
    }
}

impl Last {
    fn parse(
        errors: &mut Errors,
        name: Ident,
        input: ParseStream<'_>,
        known: &str,
    ) -> syn::Result<Self> {
        match name.to_string().as_str() {
            "fail" => Ok(Last::Fail(name)),
            "skip" => Ok(Last::Skip(name)),
            "dead_letter" if input.peek(Paren) => {
                let content;
                syn::parenthesized!(content in input);
                let topic = literal(&content);
                content.parse::<TokenStream>()?;
                let topic = topic?;
                ensure_name(errors, &topic, "topic");
                Ok(Last::DeadLetter(name, Some(topic)))
            }
            "dead_letter" => Ok(Last::DeadLetter(name, None)),
            other => {
                let hint = match other {
                    "ignore" | "continue" | "drop" | "log" => "; did you mean `skip`?",
                    "stop" | "abort" | "shutdown" | "panic" => "; did you mean `fail`?",
                    "dlq" | "deadletter" | "dead_letters" | "dead" => {
                        "; did you mean `dead_letter`?"
                    }
                    "again" | "retries" | "repeat" => "; did you mean `retry`?",
                    _ => "",
                };
                let text = format!("unknown policy `{other}`{hint}\nthe policies are {known}");
                Err(syn::Error::new_spanned(name, text))
            }
        }
    }

    fn name(&self) -> &Ident {
        match self {
            Last::Fail(name) | Last::Skip(name) | Last::DeadLetter(name, _) => name,
        }
    }

    fn print(&self) -> TokenStream {
        let span = self.name().span();
        match self {
            Last::Fail(_) => quote_spanned!(span=> __goka::Policy::FAIL),
            Last::Skip(_) => quote_spanned!(span=> __goka::Policy::SKIP),
            Last::DeadLetter(_, None) => quote_spanned!(span=> __goka::Policy::DEAD_LETTER),
            Last::DeadLetter(_, Some(topic)) => {
                quote_spanned!(topic.span()=> __goka::Policy::dead_letter_to(#topic))
            }
        }
    }
}

fn named(input: ParseStream<'_>) -> syn::Result<Ident> {
    if input.peek(LitStr) {
        let text = format!("a policy is written without quotes: {POLICIES}");
        return Err(input.error(text));
    }
    let name = input.call(Ident::parse_any);
    name.map_err(|error| syn::Error::new(error.span(), format!("expected a policy: {POLICIES}")))
}

/// Parses `= 100` or `= 100..=10_000`, in milliseconds.
fn parse_backoff(input: ParseStream<'_>) -> syn::Result<(LitInt, LitInt)> {
    let first: LitInt = assigned(input).map_err(|error| {
        let text = "expected milliseconds: `backoff_ms = 100`, or `backoff_ms = 100..=10_000` to double the wait from 100 ms up to 10 s";
        syn::Error::new(error.span(), text)
    })?;
    let longest = match input.parse::<Option<Token![..=]>>()? {
        Some(_) => input.parse()?,
        None => first.clone(),
    };
    if first.base10_parse::<u32>()? > longest.base10_parse::<u32>()? {
        let range = quote!(#first..=#longest);
        let text = "the first wait is longer than the longest wait; write the shorter wait first";
        return Err(syn::Error::new_spanned(range, text));
    }
    Ok((first, longest))
}
