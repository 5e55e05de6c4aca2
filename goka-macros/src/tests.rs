//! Tests what the macros print, with snapshots, so that a review shows each change.
//! `INSTA_UPDATE=always cargo test -p goka-macros` writes the snapshots again.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use super::{print_processor, print_topic, topic};

fn pretty(printed: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(printed).expect("the expansion consists of items"))
}

/// Compares printed code with a snapshot.
macro_rules! snapshot {
    ($name:literal, $printed:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, pretty($printed));
        })
    };
}

#[test]
fn a_stream() {
    let args = quote!("user-clicks", key = u64, codec = Json, partitioner = fnv1a);
    let item = quote! {
        #[derive(Clone)]
        pub struct Click {
            pub page: String,
        }
    };
    snapshot!("stream", print_topic(topic::stream, args, item));
}

#[test]
fn a_table() {
    let args = quote!(group = "my-group", value = i64);
    let item = quote!(
        pub struct Clicks;
    );
    snapshot!("table", print_topic(topic::table, args, item));
}

#[test]
fn a_message() {
    let item = quote! {
        #[derive(serde::Deserialize)]
        struct Login {
            at: u64,
        }
    };
    snapshot!("message", print_topic(topic::message, quote!(), item));
}

fn counter() -> TokenStream {
    let args = quote!(group = "my-group", input = "user-clicks", table = Clicks);
    let item = quote! {
        fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
            let clicks = ctx.value()?.unwrap_or(0);
            ctx.set_value(&(clicks + 1))
        }
    };
    print_processor(args, item)
}

#[test]
fn a_function() {
    snapshot!("function", counter());
}

/// Counts the printed lines without the user's own function.
#[test]
fn the_counter_is_small() {
    let lines = pretty(counter()).lines().count() - 4;
    assert!(lines <= 40, "the expansion has {lines} lines");
}

#[test]
fn an_async_function() {
    let args = quote!(
        group = "names",
        input = api::Click,
        output(Names, api::Warnings),
        key = u64
    );
    let item = quote! {
        pub async fn find(ctx: &mut find::Context<'_>, click: Option<api::Click>) {}
    };
    snapshot!("async_function", print_processor(args, item));
}

#[test]
fn an_impl_block() {
    let args = quote!(group = "status", table = Status, output = Warnings);
    let item = quote! {
        impl UserStatus {
            pub fn new() -> Self {
                UserStatus { limit: 7 }
            }
            #[loopback]
            fn recheck(&self, ctx: &mut Context<'_, Self>, recheck: Recheck) {}
            #[cfg(feature = "logins")]
            #[input("user-logins")]
            async fn logged_in(&self, ctx: &mut Context<'_, Self>, id: u64) -> goka::Result {
                Ok(())
            }
            /// Clicks.
            #[input(Click)]
            fn clicked(&self, ctx: &mut Context<'_, Self>) {}
        }
    };
    snapshot!("impl_block", print_processor(args, item));
}

#[test]
fn every_edge() {
    let args = quote!(
        group = "rewards",
        table = Points,
        output(Warnings),
        join = api::Profiles,
        lookup(Bans, Prices)
    );
    let item = quote! {
        impl Rewards {
            #[input(Invited)]
            fn invited(&self, ctx: &mut Context<'_, Self>, by: String) -> goka::Result {
                ctx.loopback(&by, &1)
            }
            #[visitor]
            fn reset(&self, ctx: &mut Context<'_, Self>, reset: Reset) -> goka::Result {
                ctx.delete()
            }
            #[loopback]
            fn rewarded(&self, ctx: &mut Context<'_, Self>, points: u64) {}
            #[cfg(feature = "exports")]
            #[visitor]
            async fn export(&self, ctx: &mut Context<'_, Self>, to: Arc<Archive>) -> io::Result<()> {
                to.write(ctx.key()).await
            }
        }
    };
    snapshot!("every_edge", print_processor(args, item));
}

#[test]
fn policies() {
    let args = quote!(
        group = "jobs",
        on_error = retry(5, then = dead_letter),
        guarantee = exactly_once
    );
    let item = quote! {
        impl Jobs {
            #[input(Job)]
            fn work(&self, ctx: &mut Context<'_, Self>) {}
            #[loopback(on_error(decode = skip, handler = retry(3, backoff_ms = 50..=1_000)))]
            fn again(&self, ctx: &mut Context<'_, Self>) {}
            #[visitor(on_error = skip)]
            fn reset(&self, ctx: &mut Context<'_, Self>, reset: Reset) {}
        }
    };
    snapshot!("policies", print_processor(args, item));
}

#[test]
fn a_function_with_errors() {
    let args = quote!(
        group = "my group",
        input = Click,
        outputs(Warnings),
        table = Clicks
    );
    let item = quote! {
        fn count(ctx: &mut count::Context, click: Click, more: u64) -> goka::Result {
            ctx.
        }
    };
    let printed = print_processor(args, item);
    // prettyplease cannot parse an unfinished body.
    let printed = printed.to_string().replace("{ ctx . }", "{ }");
    snapshot!("fallback", printed.parse().expect("tokens"));
}

/// With `crate = streams` nothing printed names `goka`.
#[test]
fn crate_is_the_only_path_to_goka() {
    let processor = print_processor(
        quote!(
            crate = streams,
            group = "count",
            input = Click,
            table = Clicks,
            output(Warnings)
        ),
        quote!(
            fn count(ctx: &mut count::Context, click: Option<Click>) {}
        ),
    );
    let wrong = print_processor(
        quote!(crate = streams, group = "count", input = "a b"),
        quote!(
            async fn count(ctx: &mut count::Context<'_>, click: Click) {}
        ),
    );
    let stream = print_topic(
        topic::stream,
        quote!("user-clicks", crate = streams, codec = Json),
        quote!(
            struct Click {
                page: String,
            }
        ),
    );
    let table = print_topic(
        topic::table,
        quote!(crate = streams, group = "count"),
        quote!(
            enum Clicks {
                Many,
            }
        ),
    );
    for printed in [processor, wrong, stream, table] {
        let text = printed.to_string();
        assert!(text.contains("streams"), "{text}");
        assert!(!names(printed).contains(&"goka".to_owned()), "{text}");
    }
}

fn names(tokens: TokenStream) -> Vec<String> {
    let names = tokens.into_iter().flat_map(|token| match token {
        TokenTree::Group(group) => names(group.stream()),
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
    });
    names.collect()
}
