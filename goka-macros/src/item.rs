//! The items that `#[processor]` stands on. Bodies of functions are kept as tokens, so that mistakes in a half-typed
//! body are left to rustc and to the editor. Must not know what handlers are.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Generics, ImplItem, Path, Signature, Token, Type, Visibility, braced,
    parse::{Parse, ParseStream, discouraged::Speculative},
};

pub(crate) enum Item {
    Function(Box<Function>),
    Block(Box<Block>),
    /// Another item, which begins with this keyword.
    Other(TokenStream),
}

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) signature: Signature,
    body: Group,
}

/// An `impl` block.
pub(crate) struct Block {
    attrs: Vec<Attribute>,
    keyword: Token![impl],
    pub(crate) generics: Generics,
    pub(crate) of_trait: Option<Path>,
    pub(crate) ty: Type,
    pub(crate) members: Vec<Member>,
}

pub(crate) enum Member {
    Function(Box<Function>),
    Other(Box<ImplItem>),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        if input.peek(Token![impl]) {
            return Block::parse(attrs, input).map(Item::Block);
        }
        let vis = input.parse()?;
        if is_function(input) || input.peek(Token![fn]) {
            return Function::parse(attrs, vis, input).map(Item::Function);
        }
        let keyword: Option<TokenTree> = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(Item::Other(keyword.into_token_stream()))
    }
}

fn is_function(input: ParseStream<'_>) -> bool {
    input.fork().parse::<Signature>().is_ok()
}

impl Function {
    fn parse(
        attrs: Vec<Attribute>,
        vis: Visibility,
        input: ParseStream<'_>,
    ) -> syn::Result<Box<Self>> {
        let (signature, body) = (input.parse()?, input.parse()?);
        Ok(Box::new(Function {
            attrs,
            vis,
            signature,
            body,
        }))
    }
}

impl Block {
    fn parse(attrs: Vec<Attribute>, input: ParseStream<'_>) -> syn::Result<Box<Self>> {
        let keyword = input.parse()?;
        let mut generics: Generics = input.parse()?;
        let mut ty: Type = input.parse()?;
        let mut of_trait = None;
        if input.peek(Token![for]) {
            let Type::Path(path) = ty else {
                return Err(syn::Error::new_spanned(ty, "expected a trait"));
            };
            of_trait = Some(path.path);
            input.parse::<Token![for]>()?;
            ty = input.parse()?;
        }
        generics.where_clause = input.parse()?;
        let content;
        braced!(content in input);
        let mut members = Vec::new();
        while !content.is_empty() {
            members.push(content.parse()?);
        }
        Ok(Box::new(Block {
            attrs,
            keyword,
            generics,
            of_trait,
            ty,
            members,
        }))
    }
}

impl Parse for Member {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        let attrs = ahead.call(Attribute::parse_outer)?;
        let vis: Visibility = ahead.parse()?;
        if !is_function(&ahead) {
            return input.parse().map(Box::new).map(Member::Other);
        }
        input.advance_to(&ahead);
        Function::parse(attrs, vis, input).map(Member::Function)
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (attrs, vis, signature, body) = (&self.attrs, &self.vis, &self.signature, &self.body);
        tokens.extend(quote!(#(#attrs)* #vis #signature #body));
    }
}

impl ToTokens for Member {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Member::Function(function) => function.to_tokens(tokens),
            Member::Other(item) => item.to_tokens(tokens),
        }
    }
}

/// Prints the block without generics and trait, because a block that has them does not become a processor.
impl ToTokens for Block {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (attrs, keyword, ty, members) = (&self.attrs, &self.keyword, &self.ty, &self.members);
        tokens.extend(quote!(#(#attrs)* #keyword #ty { #(#members)* }));
    }
}
