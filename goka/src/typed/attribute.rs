//! The attribute macros with their documentation, here because its examples need this crate. Must not hold anything
//! else.

/// Makes a processor: of a function, which is its one handler, or of an `impl` block, whose methods are its handlers.
///
/// The function `count` becomes the processor `count::Processor`:
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
/// | `input = ...` | of a function: the stream that it reads, a type, or the name of a topic as a literal |
/// | `table = T` | the group table, which holds a row per key |
/// | `output(S, ...)` | streams that handlers write to, with [`ctx.emit`](crate::Context::emit) |
/// | `join(T, ...)` | tables of other groups, read at the key of the record, with [`ctx.join`](crate::Context::join) |
/// | `lookup(T, ...)` | tables of other groups, read at any key, with [`ctx.lookup`](crate::Context::lookup) |
/// | `key = K` | the type of the keys of its inputs and its table; default `String` |
/// | `on_error = ...` | what happens to records that cannot be processed; default `fail` |
/// | `guarantee = exactly_once` | overrides the guarantee of the app; or `at_least_once` |
/// | `crate = path` | the path of `goka`, if the dependency was renamed |
///
/// # Handlers
///
/// A handler takes its context, [`&mut count::Context`](crate::Context), and then the message:
///
/// | last parameter | the handler gets |
/// |---|---|
/// | `message: T` | the value of the record; goka skips tombstones |
/// | `message: Option<T>` | the value, or `None` for a tombstone |
/// | none | nothing: the value is not decoded |
///
/// A handler returns nothing, [`goka::Result`](crate::Result), or a `Result<(), E>` whose error converts into
/// [`BoxError`](crate::BoxError): the errors of `std` and of `anyhow` do.
///
/// An `async fn` may wait. Its signature names the lifetime of its context. It runs on the thread of its partition,
/// one record after another:
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
/// # Several inputs, and a loopback
///
/// In an `impl` block each handler is a method with an input of its own. All workers share `&self`, which holds what
/// the program injects. The method that is marked `#[loopback]` handles the messages that the group sends to other
/// keys of its own, through the topic `<group>-loop`:
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
/// # Tables of other groups
///
/// A joined table has the key type and the partitioner of the group, so a process keeps only the rows of its own
/// partitions. A table with another key type or partitioner is looked up, and each process keeps the whole table:
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
/// # Records that cannot be processed
///
/// By default a record that does not decode, or whose handler fails or panics, ends the processor with an error that
/// names the record. `on_error` chooses another policy:
///
/// | policy | what happens to the record |
/// |---|---|
/// | `fail` | the processor ends; the next start reads the record again |
/// | `skip` | goka logs, counts and skips it |
/// | `dead_letter`, `dead_letter("topic")` | goka writes it to `<group>-dead-letter`, or to the topic, and goes on |
/// | `retry(5)`, `retry(5, backoff_ms = 100..=10_000, then = skip)` | goka handles it again, up to 5 times; then `fail`, or what `then` says |
///
/// Each stage can have a policy of its own: `on_error(decode = skip, handler = retry(5), panic = fail)`. On an `impl`
/// block `on_error` applies to all handlers of records; a method can have its own. See [`OnError`](crate::OnError) and
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
/// # Visitors
///
/// [`Running::visit`](crate::Running::visit) calls a method that is marked `#[visitor]` for every row of the group
/// table. It finds the method by the type of the arguments:
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
/// # What the attribute prints
///
/// Implementations of [`Processor`](crate::Processor) and of the traits in [`graph`](crate::graph), which you can also
/// write by hand.
pub use goka_macros::processor;

/// Declares a topic of events as a type: its name, key, value and codec in one place, for all programs that read or
/// write the topic.
///
/// ```
/// /// The values are of this type.
/// #[goka::stream("user-clicks")]
/// pub struct Click {
///     pub page: String,
/// }
///
/// /// A marker: the values are of another type.
/// #[goka::stream("user-warnings", value = String)]
/// pub struct Warnings;
///
/// use goka::Stream;
/// assert_eq!((Click::NAME, Warnings::NAME), ("user-clicks", "user-warnings"));
/// ```
///
/// | argument | |
/// |---|---|
/// | the first | the logical name of the topic |
/// | `value = T` | on a unit struct: the type of the values |
/// | `key = K` | the type of the keys; default `String`. An integer, `Vec<u8>`, `()` for the null key, or your own [`Key`](crate::Key) |
/// | `codec = C` | default [`ByType`](crate::typed::codec::ByType). `Json`, `MsgPack`, `Text`, `Raw`, or your own [`Codec`](crate::Codec) |
/// | `partitioner = fnv1a` | the partitioner of Goka for Go; `crc32`, the default of librdkafka's clients; default `murmur2`, that of Kafka's Java clients |
/// | `crate = path` | the path of `goka`, if the dependency was renamed |
///
/// The attribute adds serde's derives where the codec needs them, except those that the type has *below* the
/// attribute.
pub use goka_macros::stream;

/// Declares the table of a group as a type: one row per key, in a compacted topic (the changelog) and in a local copy.
///
/// ```
/// /// Other programs can read it: its changelog is `click-count-state`.
/// #[goka::table(group = "click-count", value = u64)]
/// pub struct ClickCount;
///
/// /// Only its own processor can read it: its changelog is `<group>-state`.
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
/// The arguments are those of [`stream`](macro@crate::stream) without the name, and:
///
/// | argument | |
/// |---|---|
/// | `group = "..."` | the group that writes the table |
/// | `topic = "..."` | with `group`: the changelog, instead of `<group>-state` |
/// | `coalesce = true` | the changelog gets at most one record per key and commit interval: the last value |
///
/// Every update of a row is a record of the changelog, unless the table coalesces. Coalescing saves writes and
/// storage if the same keys are updated again and again. Handlers see their own writes as without it, and a crash
/// repeats no more records. But readers of the table (views, joins, other programs) see fewer values of a key, up to a
/// commit interval later: do not coalesce a table whose readers need every value.
///
/// A field that is added later needs `#[serde(default)]` or an `Option`, because existing rows lack it.
pub use goka_macros::table;

/// Makes a type usable in messages by adding serde's derives: the message of an input that is named by a literal, or
/// a field of another message. A type that is marked [`stream`](macro@crate::stream) or [`table`](macro@crate::table)
/// needs no more.
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
