//! Topics as types: name, key, value, codec and partitioner are known at compile time. Must not know who reads and
//! writes a topic.

use crate::{
    base::{options::TableOptions, partitioner::Partitioner},
    typed::{codec::Codec, key::Key},
};

/// A Kafka topic as a type: the types of its keys and values, and how they become bytes.
///
/// A topic is a [`Stream`] or a [`Table`]; these traits add the name of the topic. `#[goka::stream]` and
/// `#[goka::table]` implement the traits. An implementation without macros:
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
    /// The type of the keys.
    type Key: Key;
    /// The type of the values.
    type Value: 'static;
    /// The codec that turns values into bytes and bytes into values.
    type Codec: Codec<Self::Value>;
    /// The partitioner that assigns keys to partitions. The inputs, the table and the joined tables of a group must
    /// have the same partitioner.
    const PARTITIONER: Partitioner = Partitioner::Murmur2;
}

/// A topic of events. Processors read it as an `input` and write it with [`Context::emit`](crate::Context::emit); an
/// [`Emitter`](crate::Emitter) writes it from any program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "expected a type declared with `#[goka::stream(\"topic\")]`",
    note = "a table is written only by its own group, with `ctx.set_value`"
)]
pub trait Stream: Topic {
    /// The logical name of the topic. On the broker, the prefix of the [`Config`](crate::Config) comes before this
    /// name.
    const NAME: &'static str;
}

/// A group table: a compacted topic, the changelog, that holds one row per key. Only its own group writes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected a type declared with `#[goka::table]`",
    note = "a stream holds events, and has no value for each key"
)]
pub trait Table: Topic {
    /// The group that writes the table, and the name of the changelog. `None` for a `#[goka::table]` without `group`.
    /// Its changelog is `<group>-state`, where `<group>` is the group of the processor that names the table.
    const HOME: Option<Home>;
    /// How the group keeps the table.
    const OPTIONS: TableOptions = TableOptions::DEFAULT;
}

/// Where a table is: the group that writes it, and its changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The name of the group.
    pub group: &'static str,
    /// The logical name of the changelog: `<group>-state`, unless the table's type names another topic.
    pub topic: &'static str,
}

/// A table that names its group, so that other programs can read the table, with a [`View`](crate::View), a join or a
/// lookup.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table that others can read",
    label = "expected a type declared with `#[goka::table(group = \"...\")]`",
    note = "a bare `#[goka::table]` is known only to its own processor; to share the table, write `#[goka::table(group = \"...\")]`",
    note = "a stream has no value per key; read it as an `input`"
)]
pub trait SharedTable: Table {
    /// The logical name of the changelog.
    const NAME: &'static str = match Self::HOME {
        Some(home) => home.topic,
        None => panic!("a table that other groups read needs `Table::HOME`: set this constant"),
    };
}
