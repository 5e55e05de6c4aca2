//! Topics are types: a name, a key, a value, a codec and a partitioner, fixed when compiling.
//! Must not know who reads and writes them.

use crate::{
    base::{options::TableOptions, partitioner::Partitioner},
    typed::{codec::Codec, key::Key},
};

/// What the records of a topic hold. Its name is a matter of [`Stream`] and [`Table`].
///
/// Printed by `#[goka::stream]` and `#[goka::table]`; by hand:
///
/// ```
/// struct Clicks;
///
/// impl goka::Topic for Clicks {
///     type Key = String;
///     type Value = i64;
///     type Codec = goka::codec::ByType;
/// }
/// impl goka::Stream for Clicks {
///     const NAME: &'static str = "user-clicks";
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic",
    label = "not a topic",
    note = "declare a topic with `#[goka::stream(\"topic\")]` or `#[goka::table(group = \"...\")]`"
)]
pub trait Topic: 'static {
    /// What its records are keyed by.
    type Key: Key;
    /// What its records carry.
    type Value: 'static;
    /// How a value becomes bytes.
    type Codec: Codec<Self::Value>;
    /// Which partition the record of a key is in. The topics of one group agree in it.
    const PARTITIONER: Partitioner = Partitioner::Murmur2;
}

/// A topic of events: read with `input`, written with [`Context::emit`](crate::Context::emit).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "expected a type declared with `#[goka::stream(\"topic\")]`",
    note = "a table is written only by its own group, with `ctx.set_value`"
)]
pub trait Stream: Topic {
    /// The name of the topic: logical, a prefix may come before it when run.
    const NAME: &'static str;
}

/// A compacted topic that holds the state of one group.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected a type declared with `#[goka::table]`",
    note = "a stream holds events, it has no value per key"
)]
pub trait Table: Topic {
    /// `None` for a bare `#[table]`: then its processor alone knows where it is.
    const HOME: Option<Home>;
    /// How its group keeps it.
    const OPTIONS: TableOptions = TableOptions::DEFAULT;
}

/// The group that writes a table, and the topic it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The name of the group.
    pub group: &'static str,
    /// The name of the topic, `<group>-state` unless chosen.
    pub topic: &'static str,
}

/// A table with a home, which others find: a `View` reads it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table that others can read",
    label = "expected a type declared with `#[goka::table(group = \"...\")]`",
    note = "a bare `#[goka::table]` is known to its own processor only; write `#[goka::table(group = \"...\")]` to share it",
    note = "a stream has no value per key; read it as an `input`"
)]
pub trait SharedTable: Table {
    /// The name of its topic.
    const NAME: &'static str = match Self::HOME {
        Some(home) => home.topic,
        None => panic!("a shared table has a home: set `Table::HOME`"),
    };
}
