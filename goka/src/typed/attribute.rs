//! Re-exports the attribute macros and documents them. The documentation is here because its examples need this crate.
//! Must not hold anything else.

/// Makes a processor of a function, which is then its only handler, or of an `impl` block, whose marked methods are
/// its handlers.
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
/// | `input = ...` | only on a function: the stream that the function reads, given as a type, or as the name of a topic in a literal |
/// | `table = T` | the group table, which holds a row per key |
/// | `output(S, ...)` | streams that handlers write to, with [`ctx.emit`](crate::Context::emit) |
/// | `join(T, ...)` | tables of other groups, read at the key of the record, with [`ctx.join`](crate::Context::join) |
/// | `lookup(T, ...)` | tables of other groups, read at any key, with [`ctx.lookup`](crate::Context::lookup) |
/// | `key = K` | the type of the keys of the inputs and of the table; default `String` |
/// | `on_error = ...` | what happens to records that cannot be processed; default `fail` |
/// | `guarantee = exactly_once` | overrides the guarantee of the app; the other value is `at_least_once` |
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
/// [`BoxError`](crate::BoxError), as the errors of `std` and of `anyhow` do.
///
/// A handler that is an `async fn` may wait. The signature of such a handler names the lifetime of the context. The
/// handler runs on the thread of the record's partition, for one record after another:
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
/// In an `impl` block, each handler is a method with its own input. All workers share one `&self`, which holds what
/// the program injects. The method that is marked `#[loopback]` handles the messages that handlers of the group send
/// to other keys of the same group, through the topic `<group>-loop`:
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
/// A joined table must have the key type and the partitioner of the group, so a process keeps only the rows of its own
/// partitions. A table with another key type or partitioner can only be looked up; each process then keeps the whole
/// table:
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
/// | `skip` | goka logs the record, counts it and skips it |
/// | `dead_letter`, `dead_letter("topic")` | goka writes the record to `<group>-dead-letter`, or to the named topic, and continues with the next record |
/// | `retry(5)`, `retry(5, backoff_ms = 100..=10_000, then = skip)` | goka handles the record again, up to 5 times; if it still fails, the policy `fail` applies, or the policy that `then` names |
///
/// Each stage (decoding, the handler, a panic) can have its own policy: `on_error(decode = skip, handler = retry(5),
/// panic = fail)`. On an `impl` block, `on_error` applies to all methods that handle records; a method that has an
/// `on_error` of its own uses its own policies instead. See [`OnError`](crate::OnError) and [`Policy`](crate::Policy).
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
/// table. The type of the arguments that `visit` gets chooses the method:
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
/// The attribute prints implementations of [`Processor`](crate::Processor) and of the traits in
/// [`graph`](crate::graph). You can also write these implementations by hand.
pub use goka_macros::processor;

/// Declares a topic of events as a type. The type states the topic's name, key, value and codec in one place, for all
/// programs that read or write the topic.
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
/// | `key = K` | the type of the keys: `String` (the default), an integer, `Vec<u8>`, `()` for the null key, or your own [`Key`](crate::Key) |
/// | `codec = C` | the codec of the values: [`ByType`](crate::typed::codec::ByType) (the default), `Json`, `MsgPack`, `Text`, `Raw`, or your own [`Codec`](crate::Codec) |
/// | `partitioner = fnv1a` | the partitioner: `murmur2` (the default), as in Kafka's Java clients; `fnv1a`, as in Goka for Go; or `crc32`, the default of librdkafka's clients |
/// | `crate = path` | the path of `goka`, if the dependency was renamed |
///
/// If the codec needs serde's derives, the attribute adds them, except the derives that stand on the type *below* the
/// attribute.
pub use goka_macros::stream;

/// Declares the table of a group as a type. A table has one row per key, and is stored in a compacted topic (the
/// changelog) and in a local copy.
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
/// The attribute takes the arguments of [`stream`](macro@crate::stream) except the name, and also these:
///
/// | argument | |
/// |---|---|
/// | `group = "..."` | the group that writes the table |
/// | `topic = "..."` | only with `group`: the name of the changelog, instead of `<group>-state` |
/// | `coalesce = true` | the changelog gets at most one record per key and commit interval: the last value |
///
/// Every update of a row is a record of the changelog, unless the table coalesces. Coalescing saves writes and storage
/// if the same keys are updated again and again. For handlers, coalescing changes nothing: handlers see their own
/// writes, and after a crash no more records are handled again than without coalescing. But readers of the table
/// (views, joins, other programs) see fewer values of a key, and see a value up to one commit interval later: do not
/// coalesce a table whose readers need every value.
///
/// A field that is added to the type later needs `#[serde(default)]` or must be an `Option`, because existing rows
/// lack the field.
pub use goka_macros::table;

/// Makes a type usable in messages, by adding serde's derives: as the message of an input that is named by a literal,
/// or as a field of another message. A type that is marked [`stream`](macro@crate::stream) or
/// [`table`](macro@crate::table) does not need this attribute.
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
