//! The options of a topic's type and of a processor. Each set of options is one struct here. Each option is one field,
//! with its argument, its check and the code that is printed for it. Must not know the items that the attributes are
//! on.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Ident, LitBool, Type, parse::ParseStream, spanned::Spanned};

use crate::{
    parse::{assigned, once},
    report::Errors,
    word::{codec, word},
};

/// What the arguments of `#[stream]` and `#[table]` say about how values are written.
#[derive(Default)]
pub(crate) struct TopicOptions {
    codec: Option<Type>,
    partitioner: Option<Ident>,
    /// The option `coalesce` of a table.
    coalesce: Option<LitBool>,
}

/// The codecs of goka, which a user names without a path.
const CODECS: [&str; 4] = ["Json", "MsgPack", "Raw", "Text"];
/// The arguments that name the partitioners, and the variants of `goka::Partitioner`. The first is the default.
const PARTITIONERS: [(&str, &str); 3] = [
    ("murmur2", "Murmur2"),
    ("fnv1a", "Fnv1a"),
    ("crc32", "Crc32"),
];

impl TopicOptions {
    /// The arguments of a stream, for error texts. A table also has `coalesce`.
    pub(crate) const KNOWN: &str = "`codec`, `partitioner`";
    pub(crate) const KNOWN_OF_TABLE: &str = "`codec`, `partitioner`, `coalesce`";

    /// Parses the value of the argument `name`; `None` if there is no such option.
    pub(crate) fn parse(
        &mut self,
        errors: &mut Errors,
        is_table: bool,
        name: &Ident,
        input: ParseStream<'_>,
    ) -> Option<syn::Result<()>> {
        let parsed = match name.to_string().as_str() {
            "codec" => {
                codec(name, input, &CODECS).map(|codec| once(errors, name, &mut self.codec, codec))
            }
            "partitioner" => word(name, input, &PARTITIONERS.map(|(name, _)| name))
                .map(|word| once(errors, name, &mut self.partitioner, word)),
            "coalesce" if is_table => {
                assigned(input).map(|value| once(errors, name, &mut self.coalesce, value))
            }
            _ => return None,
        };
        Some(parsed)
    }

    /// Reports unknown values.
    pub(crate) fn check(&self, errors: &mut Errors) {
        self.ensure_codec(errors);
        self.ensure_partitioner(errors);
    }

    /// Reports a codec whose name is nearly the name of a codec of goka. Any other codec without a path is a codec of
    /// goka or a type in scope, and rustc reports it if it is wrong.
    fn ensure_codec(&self, errors: &mut Errors) {
        let Some(codec) = &self.codec else { return };
        let name = codec.to_token_stream().to_string();
        let meant = match name.to_lowercase().as_str() {
            "json" => "Json",
            "msgpack" | "messagepack" => "MsgPack",
            "raw" | "bytes" => "Raw",
            "text" | "utf8" | "string" | "int64" => "Text",
            _ => return,
        };
        if name != meant {
            errors.at(
                codec,
                format!("unknown codec `{name}`; did you mean `{meant}`?\nto use your own codec of this name, write `self::{name}`"),
            );
        }
    }

    fn ensure_partitioner(&self, errors: &mut Errors) {
        let Some(name) = &self.partitioner else {
            return;
        };
        if !PARTITIONERS.iter().any(|(known, _)| name == known) {
            errors.at(
                name,
                format!("unknown partitioner `{name}`\nthe partitioners are `murmur2` (the default; also of Kafka's Java clients and Kafka Streams), `fnv1a` (the default of Goka in Go) and `crc32` (the default of librdkafka)"),
            );
        }
    }

    /// Whether the codec needs serde's derives. If the codec is the user's own, the user writes the derives that it
    /// needs.
    pub(crate) fn needs_serde(&self) -> bool {
        match &self.codec {
            None => true,
            Some(Type::Path(path)) => {
                let last = path.path.segments.last();
                last.is_some_and(|last| last.ident == "Json" || last.ident == "MsgPack")
            }
            Some(_) => false,
        }
    }

    /// Prints the codec's type. If there are errors, prints the default codec, which suits any value.
    pub(crate) fn codec(&self, is_right: bool, value: Span) -> TokenStream {
        let is_ours = |codec: &Type| {
            let name = codec.to_token_stream().to_string();
            CODECS.contains(&name.as_str())
        };
        match self.codec.as_ref().filter(|_| is_right) {
            None => quote_spanned!(value=> __goka::codec::ByType),
            Some(codec) if is_ours(codec) => quote_spanned!(codec.span()=> __goka::codec::#codec),
            Some(codec) => quote!(#codec),
        }
    }

    /// Prints the options of a topic as a constant of the `impl` of `Topic`.
    pub(crate) fn of_topic(&self) -> Option<TokenStream> {
        let declared = self.partitioner.as_ref()?;
        let others = &PARTITIONERS[1..];
        let (_, variant) = others.iter().find(|(name, _)| declared == name)?;
        let variant = Ident::new(variant, declared.span());
        Some(quote_spanned! {declared.span()=>
            const PARTITIONER: __goka::Partitioner = __goka::Partitioner::#variant;
        })
    }

    /// Prints the options of a table as a constant of the `impl` of `Table`.
    pub(crate) fn of_table(&self) -> Option<TokenStream> {
        let mut set = TokenStream::new();
        if let Some(coalesce) = &self.coalesce {
            set.extend(quote_spanned!(coalesce.span()=> .coalesce(#coalesce)));
        }
        let span = set.clone().into_iter().next()?.span();
        Some(quote_spanned! {span=>
            const OPTIONS: __goka::TableOptions = __goka::TableOptions::DEFAULT #set;
        })
    }
}

/// What the arguments of `#[processor]` say about how a processor runs.
#[derive(Default)]
pub(crate) struct ProcessorOptions {
    guarantee: Option<Ident>,
}

const GUARANTEES: [&str; 2] = ["at_least_once", "exactly_once"];

impl ProcessorOptions {
    /// The arguments, for error texts.
    pub(crate) const KNOWN: &str = "`guarantee`";

    /// Parses the value of the argument `name`; `None` if there is no such option.
    pub(crate) fn parse(
        &mut self,
        errors: &mut Errors,
        name: &Ident,
        input: ParseStream<'_>,
    ) -> Option<syn::Result<()>> {
        let parsed = match name.to_string().as_str() {
            "guarantee" => word(name, input, &GUARANTEES)
                .map(|word| once(errors, name, &mut self.guarantee, word)),
            _ => return None,
        };
        Some(parsed)
    }

    /// Reports unknown values, and removes them.
    pub(crate) fn check(&mut self, errors: &mut Errors) {
        let is_unknown = |name: &mut Ident| !GUARANTEES.iter().any(|known| name == known);
        if let Some(name) = self.guarantee.take_if(is_unknown) {
            errors.at(
                &name,
                format!("unknown guarantee `{name}`\nthe guarantees are `at_least_once` and `exactly_once`; without `guarantee`, the guarantee in the app's `Config` applies"),
            );
        }
    }

    /// Prints the options as a constant of the `impl` of `Processor`.
    pub(crate) fn print(&self) -> Option<TokenStream> {
        let mut set = TokenStream::new();
        if let Some(name) = &self.guarantee {
            let variant = match name == "exactly_once" {
                true => quote_spanned!(name.span()=> ExactlyOnce),
                false => quote_spanned!(name.span()=> AtLeastOnce),
            };
            set.extend(quote_spanned!(name.span()=> .guarantee(__goka::Guarantee::#variant)));
        }
        let span = set.clone().into_iter().next()?.span();
        Some(quote_spanned! {span=>
            const OPTIONS: __goka::ProcessorOptions = __goka::ProcessorOptions::DEFAULT #set;
        })
    }
}
