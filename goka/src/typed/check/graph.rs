//! Checks the rules of a graph that depend on the values of constants: the names, owners and partitioners of topics.
//! Each edge is checked by a separate constant, so that rustc points at the token that declares the edge. Must not
//! know how a graph is run.

use std::str;

use super::Derived;
use crate::{
    base::{
        kind::Kind,
        partitioner::Partitioner,
        policy::{Last, OnError, Policy},
    },
    typed::{graph::Edge, key::Key, processor::Processor},
};

/// Maximum length of a topic's name in Kafka, in characters.
pub(super) const NAME_LENGTH_MAX: usize = 249;

/// Checks the edge at `i` against the rules and against the rest of the graph.
///
/// # Panics
/// If a rule is broken: at compile time, with a sentence that says what is wrong and what to do.
#[track_caller]
pub const fn edge<P: Processor>(i: usize) {
    let graph: &[Edge<P>] = P::GRAPH;
    let edge = &graph[i];
    name(edge.topic.name);
    let mut j = 0;
    while j < graph.len() {
        if j != i && equal(edge.topic.name, graph[j].topic.name) {
            apart::<P>(edge, &graph[j], i < j);
        }
        j += 1;
    }
    match edge.kind {
        Kind::Output | Kind::DeadLetter => {}
        Kind::Lookup => foreign::<P>("looked up", edge),
        Kind::Join => {
            foreign::<P>("joined", edge);
            keyed::<P>("join");
            partitioner::<P>(
                "joined table",
                edge,
                "declare `lookup(...)` instead, which reads any key, or ",
            );
        }
        Kind::Input => partitioner::<P>("input", edge, ""),
        Kind::Table => {
            one_of_a_kind::<P>("table", i);
            owner::<P>(edge);
            keyed::<P>("table");
            partitioner::<P>("table", edge, "");
        }
        Kind::Loop => {
            one_of_a_kind::<P>("loopback", i);
            keyed::<P>("loopback");
            partitioner::<P>("loopback", edge, "");
        }
    }
}

/// Checks all edges of a graph. Used for graphs that are written by hand, because no macro prints checks for them.
pub(crate) const fn graph<P: Processor>() {
    let graph: &[Edge<P>] = P::GRAPH;
    name(P::GROUP);
    if graph.is_empty() || !matches!(graph[0].kind, Kind::Input) {
        fail(&[
            "the group `",
            P::GROUP,
            "` has no input: the first edge of `Processor::GRAPH` must be an input",
        ]);
    }
    let mut i = 0;
    while i < graph.len() {
        edge::<P>(i);
        dead_letters::<P>(graph[i].on_error);
        i += 1;
    }
}

const fn dead_letters<P: Processor>(on_error: OnError) {
    let policies = on_error.policies();
    let mut i = 0;
    while i < policies.len() {
        dead_letter::<P>(policies[i]);
        i += 1;
    }
}

/// Checks that the dead-letter topic of a policy is not the topic of an edge of the group.
///
/// # Panics
/// If a rule is broken: at compile time, with a sentence that says what is wrong and what to do.
#[track_caller]
pub const fn dead_letter<P: Processor>(policy: Policy) {
    let topic = match policy.last {
        Last::Fail | Last::Skip => return,
        Last::DeadLetter(Some(topic)) => topic,
        Last::DeadLetter(None) => <P as Derived>::DEAD_LETTER,
    };
    if matches!(policy.last, Last::DeadLetter(None)) && topic.is_empty() {
        fail(&[
            "the group name `",
            P::GROUP,
            "` is too long: its dead-letter topic `<group>-dead-letter` would have more than the 249 characters that Kafka allows; name a shorter topic, `dead_letter(\"...\")`",
        ]);
    }
    name(topic);
    let mut i = 0;
    while i < P::GRAPH.len() {
        let edge = &P::GRAPH[i];
        if equal(edge.topic.name, topic) {
            let what = match edge.kind {
                Kind::Input | Kind::Loop => {
                    "` is an input of this group, so the group would process its own dead letters; "
                }
                Kind::Output => {
                    "` is an output of this group, so readers of the output would get dead letters as messages; "
                }
                Kind::Table | Kind::Join | Kind::Lookup | Kind::DeadLetter => {
                    "` is a table, and a dead letter is not a row; "
                }
            };
            fail(&[
                "the topic `",
                topic,
                what,
                "name another topic for dead letters, `dead_letter(\"...\")`",
            ]);
        }
        i += 1;
    }
}

/// Refuses policies of a visitor that write dead letters, because a visit has no record.
pub(crate) const fn no_dead_letter(on_error: OnError) {
    let policies = on_error.policies();
    let mut i = 0;
    while i < policies.len() {
        assert!(
            !matches!(policies[i].last, Last::DeadLetter(_)),
            "a visitor handles rows, and a row cannot become a dead letter: use `Policy::SKIP` or `Policy::FAIL`"
        );
        i += 1;
    }
}

/// Checks that a group with a visitor has a table.
///
/// # Panics
/// At compile time, if the group has no table.
#[track_caller]
pub const fn has_table<P: Processor>() {
    let mut i = 0;
    while i < P::GRAPH.len() {
        if matches!(P::GRAPH[i].kind, Kind::Table) {
            return;
        }
        i += 1;
    }
    fail(&[
        "the group `",
        P::GROUP,
        "` has a visitor, but no table; declare a table with `table = ...`",
    ]);
}

/// Refuses `edge` if `other`, an edge with the same topic, excludes it. Of two edges of the same kind, for example two
/// inputs, the second is refused.
#[track_caller]
const fn apart<P: Processor>(edge: &Edge<P>, other: &Edge<P>, is_first: bool) {
    let what = match (edge.kind, other.kind) {
        (Kind::Input | Kind::Output | Kind::Join | Kind::Lookup, Kind::Table) => {
            "` is this group's own table; read and write its rows with `ctx.value()` and `ctx.set_value(..)`"
        }
        (Kind::Table | Kind::Join | Kind::Lookup, Kind::Loop) => {
            "` is this group's own loopback, so it cannot be a table; choose another `topic = ...`"
        }
        (Kind::Input | Kind::Output, Kind::Loop) => {
            "` is this group's own loopback; send messages with `ctx.loopback(..)`, and mark their handler with `#[loopback]`"
        }
        (Kind::Input, Kind::Input) if !is_first => {
            "` has a handler in this group already; remove one of the two, because a record has only one handler"
        }
        (Kind::Output, Kind::Output) if !is_first => {
            "` is an output of this group already; remove one of the two declarations"
        }
        (Kind::Join, Kind::Join) if !is_first => {
            "` is joined by this group already; remove one of the two declarations"
        }
        (Kind::Lookup, Kind::Lookup) if !is_first => {
            "` is looked up by this group already; remove one of the two declarations"
        }
        (Kind::Input, Kind::Join | Kind::Lookup) => {
            "` is a table that this group joins or looks up, so it cannot be an input; read its rows with `ctx.join` or `ctx.lookup`"
        }
        (Kind::Output, Kind::Join | Kind::Lookup) => {
            "` is a table of another group, which this group joins or looks up; only the other group may write to the table"
        }
        _ => return,
    };
    fail(&["the topic `", edge.topic.name, what]);
}

#[track_caller]
const fn one_of_a_kind<P: Processor>(what: &str, i: usize) {
    let mut j = 0;
    while j < i {
        if P::GRAPH[j].kind as u8 == P::GRAPH[i].kind as u8 {
            fail(&[
                "the group `",
                P::GROUP,
                "` has one ",
                what,
                " already; remove one of the two declarations",
            ]);
        }
        j += 1;
    }
}

/// Refuses the table of another group as the group table.
#[track_caller]
const fn owner<P: Processor>(table: &Edge<P>) {
    if let Some(owner) = table.topic.owner
        && !equal(owner, P::GROUP)
    {
        fail(&[
            "the table `",
            table.topic.name,
            "` belongs to the group `",
            owner,
            "`, not to `",
            P::GROUP,
            "`; a group writes only its own table",
        ]);
    }
}

/// Refuses the group's own table as a join or lookup.
#[track_caller]
const fn foreign<P: Processor>(what: &str, edge: &Edge<P>) {
    if let Some(owner) = edge.topic.owner
        && equal(owner, P::GROUP)
    {
        fail(&[
            "the table `",
            edge.topic.name,
            "` is this group's own table and cannot be ",
            what,
            "; declare the table with `table = ...`, and read its rows with `ctx.value()`",
        ]);
    }
}

/// Refuses an edge that needs a key, if the group has the null key.
#[track_caller]
const fn keyed<P: Processor>(what: &str) {
    if P::Key::IS_NULL {
        fail(&[
            "the records of the group `",
            P::GROUP,
            "` have the null key, `key = ()`, so the group cannot have a ",
            what,
            "; name the type of the key, as in `key = String`",
        ]);
    }
}

/// Refuses a topic whose partitioner is not that of the first input: the row of a key would not be in the partition of
/// the key's records.
#[track_caller]
const fn partitioner<P: Processor>(what: &str, edge: &Edge<P>, cure: &str) {
    let first = &P::GRAPH[0];
    if edge.topic.partitioner as u8 != first.topic.partitioner as u8 {
        fail(&[
            "the ",
            what,
            " `",
            edge.topic.name,
            "` has the partitioner `",
            word(edge.topic.partitioner),
            "` and the input `",
            first.topic.name,
            "` has `",
            word(first.topic.partitioner),
            "`, so the two topics would have the same key in different partitions; ",
            cure,
            "declare both topics with the same `partitioner = ...` (if the input is a string literal, declare a type for it: `#[goka::stream(\"",
            first.topic.name,
            "\", partitioner = ...)]`)",
        ]);
    }
}

const fn word(partitioner: Partitioner) -> &'static str {
    match partitioner {
        Partitioner::Murmur2 => "murmur2",
        Partitioner::Fnv1a => "fnv1a",
        Partitioner::Crc32 => "crc32",
    }
}

#[track_caller]
const fn name(name: &str) {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_LENGTH_MAX {
        fail(&[
            "the group or topic name `",
            name,
            "` must have 1 to 249 characters",
        ]);
    }
    if equal(name, ".") || equal(name, "..") {
        fail(&["Kafka forbids the name `", name, "`"]);
    }
    let mut i = 0;
    while i < bytes.len() {
        if !bytes[i].is_ascii_alphanumeric() && !matches!(bytes[i], b'.' | b'_' | b'-') {
            fail(&[
                "the name `",
                name,
                "` has a character that Kafka does not allow; use letters, digits, `.`, `_` and `-`",
            ]);
        }
        i += 1;
    }
}

pub(crate) const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Panics with a sentence that is given in parts, because a panic in a constant cannot format arguments.
#[track_caller]
pub(crate) const fn fail(sentence: &[&str]) -> ! {
    let (mut text, mut len, mut i) = ([0; 1024], 0, 0);
    while i < sentence.len() {
        let mut j = 0;
        while j < sentence[i].len() && len < text.len() {
            text[len] = sentence[i].as_bytes()[j];
            len += 1;
            j += 1;
        }
        i += 1;
    }
    match str::from_utf8(text.split_at(len).0) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!("a name in the graph is too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "`a b`")]
    fn a_name_is_what_kafka_allows() {
        name("user-clicks_v1.2");
        name("a b");
    }

    #[test]
    #[should_panic(expected = "one two")]
    fn a_sentence_is_put_together() {
        fail(&["one", " ", "two"]);
    }

    #[test]
    fn strings_are_compared() {
        assert!(equal("", "") && equal("ab", "ab"));
        assert!(!equal("a", "ab") && !equal("ab", "aa"));
    }
}
