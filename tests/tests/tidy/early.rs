//! Finds tests that pass by ending early because a broker or a variable is missing. A test that cannot run everywhere
//! has to be marked `#[ignore]`, and has to fail if it runs without what it needs.

use syn::{
    Attribute, Block, Expr, ExprReturn, ItemFn, Stmt,
    visit::{self, Visit},
};

use crate::{report, sources};

/// One sentence for each test in `text` that can pass without having tested anything.
fn early_ends(path: &str, text: &str) -> Vec<String> {
    let file =
        syn::parse_file(text).unwrap_or_else(|error| panic!("{path} cannot be parsed: {error}"));
    let mut tests = Tests::default();
    tests.visit_file(&file);
    let found = tests.found.into_iter();
    found
        .map(|(line, why)| {
            format!(
                "{path}:{line} {why}: mark the test with `#[ignore]` instead, and let the test fail"
            )
        })
        .collect()
}

#[derive(Default)]
struct Tests {
    found: Vec<(usize, &'static str)>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if function.attrs.iter().any(is_test) {
            let line = function.sig.fn_token.span.start().line;
            if is_one_condition(&function.block) {
                self.found.push((line, "is a test that may run nothing"));
            }
            self.visit_block(&function.block);
        }
    }

    fn visit_expr_return(&mut self, end: &'ast ExprReturn) {
        // A return of a call is allowed: the called function does the test's work in another process.
        let says_nothing = match end.expr.as_deref() {
            None | Some(Expr::Macro(_)) => true,
            Some(Expr::Call(call)) => {
                matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Ok"))
            }
            Some(_) => false,
        };
        if says_nothing {
            let line = end.return_token.span.start().line;
            self.found.push((line, "ends a test early"));
        }
    }

    // A closure, an `async` block or a loop that returns has done its work, and methods are not tests. So returns in
    // them are not looked at.
    fn visit_impl_item_fn(&mut self, _: &'ast syn::ImplItemFn) {}
    fn visit_trait_item_fn(&mut self, _: &'ast syn::TraitItemFn) {}
    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
    fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}
    fn visit_expr_loop(&mut self, _: &'ast syn::ExprLoop) {}

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        match statement {
            Stmt::Item(_) => {}
            statement => visit::visit_stmt(self, statement),
        }
    }
}

/// Whether the attribute marks a test: `#[test]` or `#[tokio::test]`.
fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| last.ident == "test")
}

/// Whether the block consists of a single `if` without `else`.
fn is_one_condition(block: &Block) -> bool {
    matches!(&block.stmts[..], [Stmt::Expr(Expr::If(only), _)] if only.else_branch.is_none())
}

#[test]
fn no_test_passes_by_ending_early() {
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        if !crate::is_ui_case(&source) && source.text.contains("test]") {
            broken.extend(early_ends(&source.path, &source.text));
        }
    }
    report(&broken);
}

#[test]
fn tests_that_end_early_are_found() {
    for body in [
        "if !broker().is_kafka() { return; } assert!(true);",
        "if !broker().is_kafka() { return println!(\"not run\"); } assert!(true);",
        "let Some(kafka) = kafka() else { return }; assert!(true);",
        "for each in both() { let Some(group) = group() else { return; }; }",
        "if broker().is_kafka() { assert!(true); }",
        "if missing() { return Ok(()); } assert!(true); Ok(())",
    ] {
        for head in [
            "#[test] fn a()",
            "#[cfg(test)] mod tests { #[tokio::test] async fn a()",
        ] {
            let end = if head.contains('{') { "}" } else { "" };
            let found = early_ends("a.rs", &format!("{head} {{ {body} }}{end}"));
            assert_eq!(found.len(), 1, "{body}: {found:?}");
        }
    }
    for sound in [
        "#[test] fn a() { needs_kafka(); assert!(true); }",
        "#[test] fn a() { if is_child() { return child(); } assert!(true); }",
        "#[test] fn a() { until(|| { if done() { return; } step() }); loop { if done() { return; } } }",
        "#[test] fn a() { fn b() { if done() { return; } } if is_kafka() { one() } else { other() } }",
        "fn a() { if done() { return; } }",
    ] {
        assert_eq!(early_ends("a.rs", sound), [] as [&str; 0], "{sound}");
    }
}
