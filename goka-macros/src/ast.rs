//! The model of a processor, which is the same for a function and for an `impl` block. Must not know what is printed.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, LitStr, Path};

use crate::{
    attr::ProcessorArgs,
    item::{Block, Function, Item, Member},
    method::{self, Cause, Mark, Method},
    refuse,
    report::Errors,
    word::TopicRef,
};

pub(crate) struct Processor {
    pub(crate) group: LitStr,
    /// The function, or the type of the `impl` block.
    pub(crate) name: Ident,
    /// The type that implements `Processor`.
    pub(crate) processor: TokenStream,
    pub(crate) args: ProcessorArgs,
    /// The methods whose signature is right, in the order in which they are printed.
    pub(crate) methods: Vec<Method>,
    /// Inputs of methods whose signature is wrong. The fallback names these types, so that they count as used although
    /// nothing is printed for the methods.
    pub(crate) lost: Vec<Path>,
    pub(crate) item: Item,
}

impl Processor {
    /// Parses an attribute and its item. If the item is too wrong for a model, the error holds the tokens of the item
    /// that are printed nevertheless.
    pub(crate) fn parse(
        errors: &mut Errors,
        args: TokenStream,
        item: TokenStream,
    ) -> Result<Self, TokenStream> {
        let args = ProcessorArgs::parse(errors, args);
        let group = refuse::ensure_group(errors, &args);
        let Some(parsed) = errors.take(syn::parse2(item.clone())) else {
            return Err(item);
        };
        match parsed {
            Item::Function(function) => {
                refuse::ensure_no_receiver(errors, &function).ok_or_else(TokenStream::new)?;
                Ok(Self::function(errors, group, args, function))
            }
            Item::Block(block) => {
                // Without the name of its type, the block is not printed, because its methods would cause further
                // errors.
                let name = refuse::ensure_plain_block(errors, &block);
                let name = name.ok_or_else(TokenStream::new)?;
                Ok(Self::block(errors, group, args, name, block))
            }
            Item::Other(keyword) => {
                refuse::ensure_item(errors, keyword);
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
        method::ensure_unmarked(errors, &mut function.attrs);
        let (input, several) = (args.input.take(), std::mem::take(&mut args.more_inputs));
        let mark = Mark::function(refuse::ensure_input(errors, input, &name));
        let mut methods = Methods::default();
        methods.add(errors, mark, &function, false);
        Processor {
            group,
            processor: quote_spanned!(name.span()=> #name::Processor),
            name,
            args,
            methods: methods.right,
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
        refuse::ensure_inputs_on_handlers(errors, &args);
        let mut methods = Methods::default();
        let mut handlers = 0;
        for member in &mut block.members {
            if let Member::Function(function) = member
                && let Some(mark) = Mark::take(errors, &mut function.attrs)
            {
                handlers += usize::from(mark.cause.kind().has_records);
                methods.add(errors, mark, function, true);
            }
        }
        refuse::ensure_some_handler(errors, handlers, &name);
        method::sort(&mut methods.right);
        Processor {
            group,
            processor: quote!(#name),
            name,
            args,
            methods: methods.right,
            lost: methods.lost,
            item: Item::Block(block),
        }
    }
}

#[derive(Default)]
struct Methods {
    right: Vec<Method>,
    lost: Vec<Path>,
}

impl Methods {
    fn add(&mut self, errors: &mut Errors, mark: Mark, function: &Function, is_method: bool) {
        match Method::parse(errors, mark, function, is_method) {
            Ok(method) => self.right.push(method),
            Err(Cause::Input(TopicRef::Path(path))) => self.lost.push(path),
            Err(_) => {}
        }
    }
}
