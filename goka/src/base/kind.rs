//! Kinds of edges in a group graph. Plain data, shared by the typed graph and the engine. Must not know the typed graph
//! or the engine.

use serde::Serialize;

/// Kind of an edge: what a topic is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A stream that the group consumes.
    Input,
    /// A stream that the group both writes to and consumes, to send messages from one of its keys to another.
    Loop,
    /// A stream that the group writes to.
    Output,
    /// The group table: the state of the group.
    Table,
    /// A table of another group, read at the key of the current record.
    Join,
    /// A table of another group, read at any key.
    Lookup,
    /// A dead-letter topic, for records that could not be processed. goka derives this edge from the policies of the
    /// other edges ([`Edge::on_error`](crate::graph::Edge::on_error)); `Processor::GRAPH` does not contain it.
    #[serde(rename = "dead letter")]
    DeadLetter,
}

impl Kind {
    /// The name of the kind in drawings and in JSON: the name of the variant in lower-case words.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Loop => "loop",
            Kind::Output => "output",
            Kind::Table => "table",
            Kind::Join => "join",
            Kind::Lookup => "lookup",
            Kind::DeadLetter => "dead letter",
        }
    }
}
