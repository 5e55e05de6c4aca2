//! The graph of a program as plain data: its groups, and the streams and tables between them. Must not know how a
//! graph is run.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    base::{kind::Kind, partitioner::Partitioner},
    typed::{
        codec::{Codec, Raw},
        processor::Processor,
        program::{dead_letters, named},
    },
};

/// The graph of a program: which groups read and write which topics. It is plain data that can be
/// drawn as Mermaid and written as JSON.
///
/// [`App::graph`](crate::App::graph) returns the graph of all processors of an app, and [`Graph::of`] the graph of a
/// single processor. Two groups are connected if both have an edge to a topic of the same name.
///
/// ```
/// # #[goka::table(group = "click-count", value = i64)]
/// # struct ClickCount;
/// # #[goka::stream("user-warnings", value = String)]
/// # struct Warnings;
/// #[goka::processor(group = "click-count", input = "user-clicks", table = ClickCount)]
/// fn count(ctx: &mut count::Context) -> goka::Result {
///     let clicks = ctx.value()?.unwrap_or(0);
///     ctx.set_value(&(clicks + 1))
/// }
/// #[goka::processor(group = "warn", input = "user-logins", join(ClickCount), output(Warnings))]
/// async fn warn(ctx: &mut warn::Context<'_>) -> goka::Result {
///     match ctx.join::<ClickCount>()? {
///         Some(1_000..) => ctx.emit::<Warnings>(ctx.key(), &"have a break".to_owned()),
///         _ => Ok(()),
///     }
/// }
///
/// let app = goka::App::new(goka::Config::new())
///     .processor(count::Processor)
///     .processor(warn::Processor);
/// assert_eq!(
///     app.graph().to_mermaid(),
///     r#"flowchart LR
///     g0["click-count"]
///     g1["warn"]
///     t0[("click-count-state")]
///     t1(["user-clicks"])
///     t2(["user-logins"])
///     t3(["user-warnings"])
///     t1 -->|input| g0
///     g0 <-->|table| t0
///     t2 -->|input, async| g1
///     t0 -->|join| g1
///     g1 -->|output| t3
/// "#
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Graph {
    /// The names of the groups, in the order in which their processors were added to the app.
    pub groups: Vec<&'static str>,
    /// The topics that the groups have edges to, sorted by name.
    pub topics: Vec<GraphTopic>,
    /// The edges: all edges of the first group, then those of the next group, and so on.
    pub edges: Vec<GraphEdge>,
}

/// A topic of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphTopic {
    /// The logical name of the topic. On the broker, the prefix of the [`Config`](crate::Config) comes before this
    /// name.
    pub name: &'static str,
    /// Whether the topic is a stream or a table. A topic that is the table of one group and an input of another group
    /// is a table.
    pub kind: TopicKind,
    /// The group that writes the table. `None` for a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'static str>,
}

/// Kind of a topic of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TopicKind {
    /// A topic of events.
    Stream,
    /// The changelog of a table, which holds one row per key.
    Table,
}

/// An edge of a [`Graph`], between a group and a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphEdge {
    /// The name of the group.
    pub group: &'static str,
    /// The role of the topic in the group, for example input or table.
    pub kind: Kind,
    /// The logical name of the topic.
    pub topic: &'static str,
    /// The partitioner that assigns keys to partitions.
    pub partitioner: Partitioner,
    /// The name of the codec of the values: [`Codec::name`](crate::Codec::name).
    pub codec: &'static str,
    /// The name of the handler. `None` unless the edge is an input or the loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<&'static str>,
    /// Whether the handler is an `async fn`; false for an edge without a handler.
    pub waits: bool,
}

impl Graph {
    /// Returns the graph of one processor.
    pub fn of<P: Processor>() -> Self {
        let mut graph = Graph::default();
        graph.add::<P>();
        graph
    }

    pub(crate) fn add<P: Processor>(&mut self) {
        self.groups.push(P::GROUP);
        for edge in P::GRAPH {
            let topic = edge.topic.name;
            let (kind, group) = match edge.kind {
                Kind::Input | Kind::Loop | Kind::Output | Kind::DeadLetter => {
                    (TopicKind::Stream, None)
                }
                Kind::Table => (TopicKind::Table, Some(P::GROUP)),
                Kind::Join | Kind::Lookup => (TopicKind::Table, edge.topic.owner),
            };
            self.meet(GraphTopic {
                name: topic,
                kind,
                group,
            });
            self.edges.push(GraphEdge {
                group: P::GROUP,
                kind: edge.kind,
                topic,
                partitioner: edge.topic.partitioner,
                codec: (edge.topic.codec)(),
                handler: edge.handler.map(|_| named::<P>(edge.handler_name)),
                waits: edge.handler.is_some_and(|handler| handler.waits()),
            });
        }
        for topic in dead_letters::<P>() {
            self.meet(GraphTopic {
                name: topic,
                kind: TopicKind::Stream,
                group: None,
            });
            self.edges.push(GraphEdge {
                group: P::GROUP,
                kind: Kind::DeadLetter,
                topic,
                partitioner: Partitioner::default(),
                codec: <Raw as Codec<Vec<u8>>>::name(),
                handler: None,
                waits: false,
            });
        }
    }

    fn meet(&mut self, topic: GraphTopic) {
        let place = self
            .topics
            .binary_search_by_key(&topic.name, |topic| topic.name);
        match place {
            Err(place) => self.topics.insert(place, topic),
            Ok(place) if topic.kind == TopicKind::Table => self.topics[place] = topic,
            Ok(_) => {}
        }
    }

    /// Returns the graph as indented JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("lists of strings are JSON")
    }

    /// Returns the graph as a flowchart of [Mermaid](https://mermaid.js.org), which GitHub draws in Markdown files.
    /// Groups are boxes, streams have rounded ends, tables are cylinders. A lookup is a dotted line, to show that each
    /// process holds the whole table.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let mut line =
            |line: String| writeln!(text, "    {line}").expect("writing to a String never fails");
        for (i, group) in self.groups.iter().enumerate() {
            line(format!("g{i}[\"{group}\"]"));
        }
        for (i, GraphTopic { name, kind, .. }) in self.topics.iter().enumerate() {
            match kind {
                TopicKind::Stream => line(format!("t{i}([\"{name}\"])")),
                TopicKind::Table => line(format!("t{i}[(\"{name}\")]")),
            }
        }
        for edge in &self.edges {
            let group = self.groups.iter().position(|name| *name == edge.group);
            let topic = self
                .topics
                .iter()
                .position(|topic| topic.name == edge.topic);
            // The fields of a graph are public, so a program may have removed the group or the topic of an edge.
            let (Some(g), Some(t)) = (group, topic) else {
                continue;
            };
            let label = edge.kind.label();
            let wait = if edge.waits { ", async" } else { "" };
            line(match edge.kind {
                Kind::Input => format!("t{t} -->|{label}{wait}| g{g}"),
                Kind::Loop => format!("g{g} <-->|{label}{wait}| t{t}"),
                Kind::Output | Kind::DeadLetter => format!("g{g} -->|{label}| t{t}"),
                Kind::Table => format!("g{g} <-->|{label}| t{t}"),
                Kind::Join => format!("t{t} -->|{label}| g{g}"),
                Kind::Lookup => format!("t{t} -.->|{label}| g{g}"),
            });
        }
        text
    }
}

#[cfg(test)]
mod tests;
