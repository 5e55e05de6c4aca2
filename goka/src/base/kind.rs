//! What an edge of a group graph is. Plain data, shared by the typed graph and the engine.

use serde::Serialize;

/// What an edge is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A stream whose records the group handles.
    Input,
    /// The stream that the group writes to itself.
    Loop,
    /// A stream that the group writes to.
    Output,
    /// The group's own table.
    Table,
    /// A table of another group, read at the group's own keys.
    Join,
    /// A table of another group, read at any key.
    Lookup,
    /// The topic that records are written to which a handler could not handle. It follows from what
    /// is done about them, [`Edge::on_error`](crate::graph::Edge::on_error), and is no edge of `Processor::GRAPH`.
    #[serde(rename = "dead letter")]
    DeadLetter,
}

impl Kind {
    /// Its name in drawings and in JSON: the variant's, in lower case words.
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
