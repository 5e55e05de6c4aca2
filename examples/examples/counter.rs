//! The smallest processor: the program of the README.

/// How often each user clicked.
#[goka::table(group = "my-group", value = i64)]
struct Clicks;

#[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
    let clicks = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(clicks + 1))
}

#[tokio::main]
async fn main() -> goka::Result {
    // Prints the events that `RUST_LOG` selects, for example `RUST_LOG=goka=info`; without it, errors only.
    tracing_subscriber::fmt::init();
    goka::App::from_env()?
        .processor(count::Processor)
        .run()
        .await
}
