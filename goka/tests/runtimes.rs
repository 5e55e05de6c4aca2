//! Tests that apps, views and emitters run in any async runtime and also without a runtime: outside of tokio, and in a
//! tokio runtime without IO and time.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use goka::{App, Config, Emitter, View, config::Membership};

#[goka::stream("clicks", value = i64)]
struct Clicks;

/// Makes a module with a processor that adds up clicks and counts the records that it has handled.
macro_rules! counter {
    ($module:ident, $group:literal) => {
        mod $module {
            use super::*;

            #[goka::table(group = $group, value = i64)]
            pub(crate) struct Sums;

            pub(crate) static HANDLED: AtomicU64 = AtomicU64::new(0);

            #[goka::processor(group = $group, input = Clicks, table = Sums)]
            pub(crate) async fn sum(ctx: &mut sum::Context<'_>, clicks: i64) -> goka::Result {
                let before = ctx.value()?.unwrap_or(0);
                ctx.set_value(&(before + clicks))?;
                HANDLED.fetch_add(1, Ordering::Release);
                Ok(())
            }

            /// Starts, uses and closes an app, a view and an emitter.
            pub(crate) async fn life(config: Config) -> goka::Result {
                let running = App::new(config.clone())
                    .processor(sum::Processor)
                    .start()
                    .await?;
                running.recovered().await?;
                let clicks = Emitter::<Clicks>::new(&config)?;
                clicks.ready().await?;
                let at = clicks.emit("alice", &1)?.await?;
                clicks.emit("alice", &1)?.wait()?;
                clicks.close().await?;
                assert_eq!(at.partition, 0);
                let view = View::<Sums>::open(&config).await?;
                view.recovered().await?;
                while view.get("alice")?.unwrap_or(0) < 2 {
                    thread::yield_now();
                }
                view.caught_up().await?;
                view.close().await?;
                running.shutdown().await
            }

            /// Runs an app until it is told to stop: a thread sends the signal as soon as the app has handled a
            /// record.
            pub(crate) async fn until_stopped(config: Config) -> goka::Result {
                let handled = HANDLED.load(Ordering::Acquire);
                Emitter::<Clicks>::new(&config)?.emit_sync("bob", &1)?;
                let stopper = thread::spawn(move || {
                    while HANDLED.load(Ordering::Acquire) == handled {
                        thread::yield_now();
                    }
                    // SAFETY: `App::run` has installed a handler of this signal.
                    assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
                });
                let ended = App::new(config).processor(sum::Processor).run().await;
                stopper
                    .join()
                    .expect("the thread that stops the app does not panic");
                ended
            }
        }
    };
}

counter!(outside, "outside");
counter!(bare, "bare");

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The minimum that an async runtime has to do.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn config() -> Config {
    Config::new()
        .brokers("embedded")
        // With static membership, a group would wait until the session of a member that has left times out.
        .membership(Membership::Dynamic)
        .create_stream("clicks", 1)
        .workers(1)
}

/// There is only one test in this file, because a signal goes to the whole process.
#[test]
fn apps_views_and_emitters_need_no_runtime() {
    let outside = async {
        outside::life(config()).await?;
        outside::until_stopped(config()).await
    };
    block_on(outside).expect("the parts must work outside of tokio");

    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let bare = async {
        bare::life(config()).await?;
        bare::until_stopped(config()).await
    };
    runtime
        .expect("the runtime can be created")
        .block_on(bare)
        .expect("the parts must work without IO and time");
}
