//! The module tree of a crate, parsed from the crate's files. Each path that is written in these files is resolved,
//! through re-exports, to the file that defines the name. Must not know the rules that `rooms` checks.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, Meta, Token, TraitItem, UseTree, Visibility,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The maximal number of steps when a path is resolved through re-exports. It ends chains of re-exports that lead back
/// to themselves.
const HOPS: usize = 20;

/// The modules of a crate. The first module is the root.
pub(crate) struct Tree {
    name: String,
    modules: Vec<Module>,
    /// Files of the crate that no `mod` item declares.
    pub(crate) unreached: Vec<String>,
}

/// An import: a path that is written in one file and refers to another file of the crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) line: usize,
    /// The path as it is written. A `use` tree with several names yields one path for each name.
    pub(crate) written: String,
    /// The file that defines the imported name.
    pub(crate) to: String,
    /// Whether the path leads through a re-export in `lib.rs`: in the root module, or in a module whose content is in
    /// `lib.rs`.
    pub(crate) by_face: bool,
    /// Whether the path begins with the crate's own name, as paths in users' code do.
    pub(crate) by_own_name: bool,
    /// Whether the import is a re-export: `pub use`, `pub(crate) use` or `pub(super) use`.
    pub(crate) passes_on: bool,
    /// Whether the import is compiled only for tests.
    pub(crate) is_test: bool,
}

#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    is_test: bool,
    children: BTreeMap<String, usize>,
    /// Names that this module itself defines.
    items: BTreeSet<String>,
    uses: Vec<Use>,
    mentions: Vec<Mention>,
}

/// One name of a `use` tree; a tree with several names yields several of these.
struct Use {
    /// The name under which the module knows the import; `None` for `*`.
    name: Option<String>,
    path: Vec<String>,
    line: usize,
    passes_on: bool,
    is_test: bool,
}

/// A path in code outside `use` items.
struct Mention {
    path: Vec<String>,
    line: usize,
    is_test: bool,
}

/// The place to which a path leads.
#[derive(Clone, Copy)]
struct Target {
    module: usize,
    /// Whether the path leads to `module` itself, and not to a name in `module`.
    is_module: bool,
    by_face: bool,
}

impl Tree {
    /// Parses the crate `name`. `files` maps paths, relative to the folder of `lib.rs`, to the texts of the files.
    pub(crate) fn of(name: &str, files: &BTreeMap<String, String>) -> Self {
        let mut tree = Tree {
            name: name.to_owned(),
            modules: Vec::new(),
            unreached: Vec::new(),
        };
        tree.read_file(files, "lib.rs", String::new(), None, false);
        let reached: BTreeSet<&String> = tree.modules.iter().map(|module| &module.file).collect();
        let unreached = files.keys().filter(|file| !reached.contains(file));
        tree.unreached = unreached.cloned().collect();
        tree
    }

    /// Reads the module in `file`, whose submodules have their files in `folder`. Returns the index of the module.
    fn read_file(
        &mut self,
        files: &BTreeMap<String, String>,
        file: &str,
        folder: String,
        parent: Option<usize>,
        is_test: bool,
    ) -> usize {
        let parsed = syn::parse_file(&files[file]);
        let parsed = parsed.unwrap_or_else(|error| panic!("{file} cannot be parsed: {error}"));
        self.read_items(files, file, &folder, parent, is_test, &parsed.items)
    }

    fn read_items(
        &mut self,
        files: &BTreeMap<String, String>,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        is_test: bool,
        items: &[Item],
    ) -> usize {
        let at = self.modules.len();
        let mut module = Module {
            file: file.to_owned(),
            parent,
            is_test,
            ..Module::default()
        };
        let mut reader = Reader {
            module: &mut module,
            is_test,
        };
        items.iter().for_each(|item| reader.visit_item(item));
        self.modules.push(module);
        for item in items {
            let Item::Mod(declared) = item else { continue };
            let name = declared.ident.to_string();
            let is_test = is_test || are_test(&declared.attrs);
            let inner = format!("{folder}{name}/");
            let child = match &declared.content {
                Some((_, items)) => self.read_items(files, file, &inner, Some(at), is_test, items),
                None => {
                    let places = [format!("{folder}{name}.rs"), format!("{inner}mod.rs")];
                    let place = places.iter().find(|place| files.contains_key(*place));
                    let place = place
                        .unwrap_or_else(|| panic!("{file} declares {name}, which has no file"));
                    self.read_file(files, place, inner, Some(at), is_test)
                }
            };
            self.modules[at].children.insert(name, child);
        }
        at
    }

    /// All paths that refer to another file of the crate. A `use` of a module or of `*` does not count by itself.
    /// Instead, each path counts that begins with the module's name or with a name that the `*` imports.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut found = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            for each in module.uses.iter().filter(|each| each.name.is_some()) {
                found.extend(self.import(at, &each.path, each.line, each.is_test, each.passes_on));
            }
            for each in module
                .mentions
                .iter()
                .filter(|each| !self.is_in_use(at, &each.path))
            {
                found.extend(self.import(at, &each.path, each.line, each.is_test, false));
            }
        }
        found.into_iter().collect()
    }

    /// Whether the path begins with a name that the module `at` imports by a `use` that counts already as an import.
    fn is_in_use(&self, at: usize, path: &[String]) -> bool {
        let named = |each: &&Use| each.name.as_ref() == Some(&path[0]) && !each.passes_on;
        let whole = |each: &Use| {
            self.resolve(at, &each.path, HOPS)
                .is_some_and(|found| found.is_module)
        };
        let each = self.modules[at].uses.iter().find(named);
        each.is_some_and(|each| !whole(each))
    }

    fn import(
        &self,
        at: usize,
        path: &[String],
        line: usize,
        is_test: bool,
        passes_on: bool,
    ) -> Option<Import> {
        let target = self.resolve(at, path, HOPS)?;
        let from = &self.modules[at].file;
        let to = &self.modules[target.module].file;
        if !target.by_face && (from == to || target.is_module) {
            return None;
        }
        Some(Import {
            from: from.clone(),
            line,
            written: path.join("::"),
            to: to.clone(),
            by_face: target.by_face,
            by_own_name: path[0] == self.name,
            passes_on,
            is_test: is_test || self.modules[at].is_test,
        })
    }

    /// Resolves `path`, which is written in the module `at`. Returns `None` if it belongs to another crate or to the
    /// language.
    fn resolve(&self, at: usize, path: &[String], hops: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let (start, rest) = match first.as_str() {
            "crate" | "$crate" => (0, rest),
            name if name == self.name && self.find(at, path, hops).is_none() => (0, rest),
            "self" => (at, rest),
            "super" => {
                let parents = path.iter().take_while(|name| *name == "super").count();
                let up = |at: usize| {
                    self.modules[at]
                        .parent
                        .expect("the crate root has no `super`")
                };
                ((0..parents).fold(at, |at, _| up(at)), &path[parents..])
            }
            _ => return self.find(at, path, hops),
        };
        if rest.is_empty() && first == "self" {
            return None;
        }
        // A name that is not found is assumed to be defined in this module, by a macro call.
        let unknown = Target {
            module: start,
            is_module: false,
            by_face: false,
        };
        Some(self.find(start, rest, hops).unwrap_or(unknown))
    }

    /// Resolves `path`, which begins with a name in the module `at`, and not with `crate`, `self` or `super`.
    fn find(&self, at: usize, path: &[String], hops: usize) -> Option<Target> {
        let hops = hops.checked_sub(1)?;
        let module = &self.modules[at];
        let here = Target {
            module: at,
            is_module: path.is_empty(),
            by_face: false,
        };
        let Some((name, rest)) = path.split_first() else {
            return Some(here);
        };
        if let Some(child) = module.children.get(name) {
            let unknown = Target {
                module: *child,
                is_module: false,
                by_face: false,
            };
            return Some(self.find(*child, rest, hops).unwrap_or(unknown));
        }
        if module.items.contains(name) {
            return Some(here);
        }
        let by_face = |target: Target| Target {
            by_face: target.by_face || module.file == "lib.rs",
            ..target
        };
        let named = |each: &&Use| each.name.as_ref() == Some(name);
        if let Some(each) = module.uses.iter().find(named) {
            // `use serde;` imports another crate. Resolving its path would find this `use` again.
            let own = each.path.len() == 1 && each.path[0] == *name;
            let path = [&each.path, rest].concat();
            let found = if own {
                None
            } else {
                self.resolve(at, &path, hops)
            };
            return Some(by_face(found.unwrap_or(here)));
        }
        let globs = module.uses.iter().filter(|each| each.name.is_none());
        let mut found = globs.filter_map(|each| {
            let whole = self.resolve(at, &each.path, hops)?;
            let inside = whole.is_module.then_some(whole.module)?;
            self.find(inside, path, hops)
        });
        found.next().map(by_face)
    }
}

/// Whether an item with these attributes is compiled only for tests.
fn are_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|meta| is_test(&meta))
        }
        _ => false,
    })
}

/// Whether the condition of a `cfg` can hold only in tests. For example, `any(test, feature = "tester")` can also hold
/// outside tests.
fn is_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| {
        let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        parts.unwrap_or_default().into_iter()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).any(|part| is_test(&part)),
        Meta::List(list) if list.path.is_ident("any") => parts(list).all(|part| is_test(&part)),
        _ => false,
    }
}

/// Collects the names and the paths of one module, but not those of its submodules.
struct Reader<'a> {
    module: &'a mut Module,
    is_test: bool,
}

impl Reader<'_> {
    /// Calls `visit` for what is inside an item with these attributes.
    fn below(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.is_test;
        self.is_test |= are_test(attributes);
        visit(self);
        self.is_test = before;
    }

    fn define(&mut self, name: &syn::Ident) {
        self.module.items.insert(name.to_string());
    }

    fn mention(&mut self, path: Vec<String>, line: usize) {
        self.module.mentions.push(Mention {
            path,
            line,
            is_test: self.is_test,
        });
    }

    fn flatten(&mut self, tree: &UseTree, before: &[String], passes_on: bool) {
        let (name, last, line) = match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                return self.flatten(&path.tree, &before, passes_on);
            }
            UseTree::Group(group) => {
                let trees = group.items.iter();
                return trees.for_each(|tree| self.flatten(tree, before, passes_on));
            }
            UseTree::Name(name) => (Some(&name.ident), Some(&name.ident), name.span()),
            UseTree::Rename(rename) => (Some(&rename.rename), Some(&rename.ident), rename.span()),
            UseTree::Glob(glob) => (None, None, glob.span()),
        };
        let mut path = before.to_vec();
        let mut name = name.map(ToString::to_string);
        match last.map(ToString::to_string) {
            // The path `a::b::{self}` stands for `a::b`.
            Some(last) if last == "self" && !before.is_empty() => {
                let is_renamed = name.as_ref().is_some_and(|name| name != "self");
                name = if is_renamed {
                    name
                } else {
                    before.last().cloned()
                };
            }
            Some(last) => path.push(last),
            None => {}
        }
        self.module.uses.push(Use {
            name,
            path,
            line: line.start().line,
            passes_on,
            is_test: self.is_test,
        });
    }

    /// Collects the paths among the arguments of a macro call. The arguments are tokens, which `syn` does not parse.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| match tokens.get(at) {
            Some(TokenTree::Punct(found)) => found.as_char() == wanted,
            _ => false,
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    let (began, line) = (at, first.span().start().line);
                    let mut path = vec![first.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else {
                            break;
                        };
                        path.push(next.to_string());
                        at += 3;
                    }
                    let follows = |wanted| began > 0 && is(began - 1, wanted);
                    // A name after `.` is a field or a method, and a name after `::` belongs to a path of another
                    // crate.
                    if !follows('.') && !follows(':') {
                        self.mention(path, line);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Enum(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Fn(item) => (self.define(&item.sig.ident), &item.attrs).1,
            Item::Static(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Struct(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Trait(item) => (self.define(&item.ident), &item.attrs).1,
            Item::TraitAlias(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Type(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Union(item) => (self.define(&item.ident), &item.attrs).1,
            Item::Macro(item) => {
                item.ident.iter().for_each(|name| self.define(name));
                &item.attrs
            }
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            // Submodules are read by `read_items`, and `extern crate` names only other crates.
            _ => return,
        };
        self.below(attributes, |reader| visit::visit_item(reader, item));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            let passes_on = !matches!(item.vis, Visibility::Inherited);
            self.flatten(&item.tree, &[], passes_on);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        self.below(attributes, |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[Attribute] = match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            TraitItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        self.below(attributes, |reader| visit::visit_trait_item(reader, item));
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.below(&field.attrs, |reader| visit::visit_field(reader, field));
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        self.below(&field.attrs, |reader| {
            visit::visit_field_value(reader, field)
        });
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.below(&variant.attrs, |reader| {
            visit::visit_variant(reader, variant)
        });
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.below(&arm.attrs, |reader| visit::visit_arm(reader, arm));
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        self.below(&local.attrs, |reader| visit::visit_local(reader, local));
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        self.below(&block.attrs, |reader| {
            visit::visit_expr_block(reader, block)
        });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string());
            self.mention(names.collect(), path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        visit::visit_macro(self, called);
        self.scan(called.tokens.clone());
    }

    /// Does nothing, because the `crate` or `super` in `pub(..)` is not an import.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.visit_path(attribute.path());
    }
}
