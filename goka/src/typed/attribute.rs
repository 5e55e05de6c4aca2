//! The attributes, documented where their examples compile. Must not hold anything else.

/// Makes a processor of a function, its one handler, or of an `impl` block with several.
///
/// `fn count` is run as `count::Processor`:
///
/// ```
/// /// Clicks per user.
/// #[goka::table(group = "my-group", value = i64)]
/// pub struct Clicks;
///
/// #[goka::processor(group = "my-group", input = "user-clicks", table = Clicks)]
/// fn count(ctx: &mut count::Context, _clicked_at: String) -> goka::Result {
///     let clicks = ctx.value()?.unwrap_or(0);
///     ctx.set_value(&(clicks + 1))
/// }
///
/// use goka::Processor;
/// assert_eq!(count::Processor::GROUP, "my-group");
/// ```
///
/// | argument | |
/// |---|---|
/// | `group = "..."` | the name of the group |
/// | `input = ...` | of a function: the stream that is read, a type, or a literal for a topic that has none |
/// | `table = T` | the group table, which keeps a row per key |
/// | `output(S, ...)` | streams that handlers emit to, with [`ctx.emit`](crate::Context::emit) |
/// | `join(T, ...)` | tables of other groups, read at the key of the record, with [`ctx.join`](crate::Context::join) |
/// | `lookup(T, ...)` | tables of other groups, read at any key, with [`ctx.lookup`](crate::Context::lookup) |
/// | `key = K` | what its inputs and its table are keyed by; `String` unless given |
/// | `on_error = ...` | what is done about records that cannot be handled: `fail`, unless given |
/// | `guarantee = exactly_once` | instead of that of the app; or `at_least_once` |
/// | `crate = path` | where `goka` is, if it was renamed |
///
/// A handler takes its context, [`&mut count::Context`](crate::Context), and the message as its last
/// parameter: `T` for records with a value; `Option<T>`, written so, to get tombstones as
/// `None` too; or none, and nothing is decoded. It returns nothing, [`goka::Result`](crate::Result)
/// or a `Result<(), E>` whose error converts into [`BoxError`](crate::BoxError), as that of
/// `anyhow` and all of `std` do.
///
/// An `async fn` may wait. It writes the lifetime of its context, and runs on the thread of its
/// partition, one record after another:
///
/// ```
/// # #[goka::table(value = String)]
/// # struct Names;
/// # async fn look_up(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
/// #[goka::processor(group = "names", input = "user-logins", table = Names)]
/// async fn name(ctx: &mut name::Context<'_>, id: u64) -> Result<(), goka::BoxError> {
///     let found = look_up(id).await?;
///     Ok(ctx.set_value(&found)?)
/// }
/// ```
///
/// On an `impl` block each handler is a method with an input of its own. `&self` is what was
/// injected, shared by all workers. `#[loopback]` handles what the group sends to itself, at other
/// keys, through the topic `<group>-loop`:
///
/// ```
/// use goka::Context;
///
/// # #[goka::table(value = u64)]
/// # struct Points;
/// /// Points per user; whoever was invited brings some to the one who did it.
/// struct Rewards {
///     for_inviting: u64,
/// }
///
/// #[goka::processor(group = "rewards", table = Points)]
/// impl Rewards {
///     #[input("user-invited-by")]
///     fn invited(&self, ctx: &mut Context<'_, Self>, by: String) -> goka::Result {
///         ctx.loopback(&by, &self.for_inviting)
///     }
///
///     #[loopback]
///     fn rewarded(&self, ctx: &mut Context<'_, Self>, points: u64) -> goka::Result {
///         let before = ctx.value()?.unwrap_or(0);
///         ctx.set_value(&(before + points))
///     }
/// }
/// ```
///
/// A joined table is keyed and partitioned as the group is, so that a process holds only the rows of
/// its own partitions. A table of another key, or of another partitioner, is looked up, and is held
/// whole by every process:
///
/// ```
/// use goka::Context;
///
/// /// The profile of a user, kept by another group.
/// #[goka::table(group = "profiles")]
/// pub struct Profile {
///     pub country: String,
/// }
/// /// What a product costs, in cents.
/// #[goka::table(group = "prices", key = u64, value = u64)]
/// pub struct Prices;
/// /// What a user has to pay.
/// #[goka::stream("user-bills", value = u64)]
/// pub struct Bills;
///
/// #[goka::processor(group = "bills", input = "user-orders", join(Profile), lookup(Prices), output(Bills))]
/// fn bill(ctx: &mut bill::Context, product: u64) -> goka::Result {
///     let (Some(profile), Some(price)) = (ctx.join::<Profile>()?, ctx.lookup::<Prices>(&product)?) else {
///         return Ok(());
///     };
///     let duty = if profile.country == "CH" { 700 } else { 0 };
///     ctx.emit::<Bills>(ctx.key(), &(price + duty))
/// }
/// ```
///
/// A record that does not decode, and one whose handler fails or panics, ends the processor with an
/// error that names it. `on_error` says otherwise: `skip`; `dead_letter`, to the topic
/// `<group>-dead-letter`, or `dead_letter("topic")`; `retry(5)`, or `retry(5, then = skip)`,
/// `retry(5, backoff_ms = 100..=10_000, then = dead_letter)`. What can go wrong may be told apart:
/// `on_error(decode = skip, handler = retry(5), panic = fail)`. On an `impl` block it is for all
/// handlers of records, and each may have its own. See [`OnError`](crate::OnError) and
/// [`Policy`](crate::Policy).
///
/// ```
/// use goka::Context;
///
/// # #[goka::table(value = i64)]
/// # struct Balances;
/// struct Accounts;
///
/// #[goka::processor(group = "accounts", table = Balances, on_error = dead_letter)]
/// impl Accounts {
///     #[input("deposits")]
///     fn deposited(&self, ctx: &mut Context<'_, Self>, amount: i64) -> goka::Result {
///         let before = ctx.value()?.unwrap_or(0);
///         ctx.set_value(&(before + amount))
///     }
///
///     #[input("rates", on_error = skip)]
///     fn rated(&self, _: &mut Context<'_, Self>, _rate: i64) {}
/// }
/// ```
///
/// `#[visitor]` methods of an `impl` block are called for every row of the group's table, by
/// [`Running::visit`](crate::Running::visit), which finds them by their arguments:
///
/// ```no_run
/// use goka::Context;
///
/// # #[goka::table(value = u64)]
/// # struct Points;
/// struct Rewards;
///
/// /// Takes some points from everybody.
/// #[derive(Clone)]
/// struct Expire {
///     points: u64,
/// }
///
/// #[goka::processor(group = "rewards", table = Points)]
/// impl Rewards {
///     #[input("user-rewards")]
///     fn rewarded(&self, ctx: &mut Context<'_, Self>, points: u64) -> goka::Result {
///         let before = ctx.value()?.unwrap_or(0);
///         ctx.set_value(&(before + points))
///     }
///
///     #[visitor]
///     fn expire(&self, ctx: &mut Context<'_, Self>, expire: Expire) -> goka::Result {
///         let before = ctx.value()?.unwrap_or(0);
///         ctx.set_value(&before.saturating_sub(expire.points))
///     }
/// }
///
/// # async fn run() -> goka::Result {
/// let running = goka::App::from_env()?.processor(Rewards).start().await?;
/// let users = running.visit(Expire { points: 10 }).await?;
/// # Ok(())
/// # }
/// ```
///
/// What is printed are impls of the traits of this crate, which can be written by hand:
/// [`Processor`](crate::Processor) shows that.
pub use goka_macros::processor;

/// Makes a topic of events of a type: its name, key, value and codec in one place, for all programs that read or write
/// it.
///
/// ```
/// /// Its own value: a message of this kind.
/// #[goka::stream("user-clicks")]
/// pub struct Click {
///     pub page: String,
/// }
///
/// /// A marker for values of another type.
/// #[goka::stream("user-warnings", value = String)]
/// pub struct Warnings;
///
/// use goka::Stream;
/// assert_eq!((Click::NAME, Warnings::NAME), ("user-clicks", "user-warnings"));
/// ```
///
/// | argument | |
/// |---|---|
/// | the first | the name of the topic |
/// | `value = T` | on a unit struct: what its records carry |
/// | `key = K` | `String` unless given; any integer, `Vec<u8>`, `()` for none, or your own [`Key`](crate::Key) |
/// | `codec = C` | [`ByType`](crate::typed::codec::ByType) unless given; `Json`, `MsgPack`, `Text`, `Raw`, or your own [`Codec`](crate::Codec) |
/// | `partitioner = murmur2` | as the JVM clients and Kafka Streams, and the default; `fnv1a` is that of Go Goka |
/// | `crate = path` | where `goka` is, if it was renamed |
///
/// serde's derives are added where the codec needs them, except those that are written *below* the attribute.
pub use goka_macros::stream;

/// Makes the state of a group of a type: one row per key, in a compacted topic and in a local copy.
///
/// ```
/// /// Others find it by its group: a `View` of it reads the topic `click-count-state`.
/// #[goka::table(group = "click-count", value = u64)]
/// pub struct ClickCount;
///
/// /// Known to its own processor alone, and named after its group.
/// #[goka::table]
/// struct Seen {
///     times: u32,
///     last_page: Option<String>,
/// }
///
/// use goka::SharedTable;
/// assert_eq!(ClickCount::NAME, "click-count-state");
/// ```
///
/// The arguments are those of [`stream`](macro@crate::stream), but for the name, and:
///
/// | argument | |
/// |---|---|
/// | `group = "..."` | the group that writes it |
/// | `topic = "..."` | with `group`: another topic than `<group>-state` |
/// | `coalesce = true` | a row is written to the topic at most once a key and commit interval: its last value |
///
/// Every update of a row is a record of the topic, unless the table coalesces. Then handlers see what
/// they wrote as ever, and what a crash repeats is the same, but who reads the table (views, joins,
/// other programs) sees fewer values of a key, up to a commit interval later: less to write and to
/// store where the same keys come again and again, and nothing for who needs each value.
///
/// A field that is added later needs `#[serde(default)]` or an `Option`, for the rows that are
/// there without it.
pub use goka_macros::table;

/// Makes a type one that messages carry, where it is no topic of its own: of an input that is named
/// by a literal, or of a field of another message. It adds serde's derives.
///
/// ```
/// #[goka::message]
/// struct Login {
///     id: u64,
///     from: Device,
/// }
/// #[goka::message]
/// enum Device {
///     Desk,
///     Phone { model: String },
/// }
///
/// #[goka::processor(group = "logins", input = "user-logins")]
/// fn login(ctx: &mut login::Context, login: Login) {}
/// ```
pub use goka_macros::message;
