//! Reports mistakes that the tokens of a whole processor show. rustc reports mistakes in types and traits, and
//! constants of goka report mistakes in names. Must not know what is printed.

use quote::ToTokens;
use syn::Type;

use crate::{
    ast::Processor,
    method::{Cause, Method},
    name::ensure_name,
    report::Errors,
    word::TopicRef,
};

/// Checks the model, and removes each wrong part that it reports, so that rustc does not report the same mistake
/// again.
pub(crate) fn processor(errors: &mut Errors, model: &mut Processor) {
    ensure_name(errors, &model.group, "group");
    ensure_key(errors, &mut model.args.key);
    model.args.options.check(errors);
    for method in &model.methods {
        if let Cause::Input(TopicRef::Literal(topic)) = &method.cause {
            ensure_name(errors, topic, "topic");
        }
    }
    ensure_distinct(errors, model);
    ensure_some_input(errors, model);
}

/// Reports two methods that claim the same topic or the same arguments, as far as the tokens show it: the same type,
/// or the same literal. A constant of goka finds the other cases. Methods with a `#[cfg]` are not compared, because
/// one of the two may be absent.
fn ensure_distinct(errors: &mut Errors, model: &mut Processor) {
    let mut kept: Vec<Method> = Vec::new();
    for method in std::mem::take(&mut model.methods) {
        let first = kept.iter().find(|first| {
            let is_always = first.callee.cfgs.is_empty() && method.callee.cfgs.is_empty();
            is_always && first.claim() == method.claim()
        });
        let Some(first) = first else {
            kept.push(method);
            continue;
        };
        let (first, second) = (&first.callee.name, &method.callee.name);
        match (&method.cause, &method.argument) {
            (Cause::Input(topic), _) => errors.at(
                topic,
                format!("`{first}` already handles this topic; remove one of the two, because a record has only one handler"),
            ),
            (Cause::Visitor(_), Some(args)) => errors.at(
                &args.ty,
                format!("`{first}` already takes arguments of this type, and a visit finds its visitor by the type: give `{second}` arguments of another type"),
            ),
            (Cause::Loopback(_) | Cause::Visitor(_), _) => errors.at(
                second,
                "a group has one loopback; to send several kinds of messages, make the message an enum",
            ),
        }
    }
    model.methods = kept;
}

fn ensure_some_input(errors: &mut Errors, model: &Processor) {
    let mut causes = model.methods.iter().map(|method| &method.cause);
    if errors.is_empty() && !causes.any(|cause| matches!(cause, Cause::Input(_))) {
        let name = &model.name;
        errors.at(
            name,
            format!("`{name}` has no input: mark a method with `#[input(...)]`"),
        );
    }
}

/// Refuses built-in types that are not keys. Any other type that is not a key is reported by rustc, in several places.
fn ensure_key(errors: &mut Errors, key: &mut Option<Type>) {
    const NO_KEYS: [&str; 6] = ["bool", "char", "f32", "f64", "isize", "usize"];
    let no_key = key.take_if(|key| NO_KEYS.contains(&key.to_token_stream().to_string().as_str()));
    if let Some(key) = no_key {
        let name = key.to_token_stream();
        errors.at(
            &key,
            format!("`{name}` cannot be a key: a key is a `String`, an integer of 8 to 128 bits, a `Vec<u8>`, `()` for records without a key, or your own type with `impl goka::Key`"),
        );
    }
}
