//! The graph of a processor as a worker uses it: its edges, which of them are sources, and which one is the table.
//! Plain data. Must not know partitions.

use crate::{
    base::{
        index::{EdgeIx, SourceIx},
        kind::Kind,
    },
    engine::{program::EdgeInfo, spec::Spec},
};

/// The edges of a processor.
pub(crate) struct Edges {
    all: Vec<EdgeInfo>,
    /// The index of each source's edge in the graph.
    sources: Vec<EdgeIx>,
    /// The name of each source in local copies and cuts, see [`names`](Self::names).
    positions: Vec<String>,
    table: Option<EdgeIx>,
}

impl Edges {
    pub(crate) fn new(spec: &Spec) -> Self {
        let all = spec.program.edges();
        let of = |kinds: &[Kind]| {
            let edges = all.iter().enumerate();
            let found = edges.filter(|(_, edge)| kinds.contains(&edge.kind));
            found
                .map(|(index, _)| EdgeIx::new(index))
                .collect::<Vec<_>>()
        };
        let (sources, table) = (
            of(&[Kind::Input, Kind::Loop]),
            of(&[Kind::Table]).first().copied(),
        );
        let positions = sources.iter().map(|&edge| position_name(spec, &all, edge));
        Edges {
            positions: positions.collect(),
            all,
            sources,
            table,
        }
    }

    /// The edge with this index in the graph.
    pub(crate) fn get(&self, edge: EdgeIx) -> &EdgeInfo {
        &self.all[edge.index()]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (EdgeIx, &EdgeInfo)> {
        let all = self.all.iter().enumerate();
        all.map(|(index, edge)| (EdgeIx::new(index), edge))
    }

    /// The index of a source's edge in the graph.
    pub(crate) fn of_source(&self, source: SourceIx) -> EdgeIx {
        self.sources[source.index()]
    }

    /// The index of the table's edge in the graph.
    pub(crate) fn table(&self) -> Option<EdgeIx> {
        self.table
    }

    /// Whether the changelog gets only one row per key and interval, rather than a row for each write.
    pub(crate) fn coalesce(&self) -> bool {
        self.table
            .is_some_and(|table| self.get(table).options.coalesce)
    }

    /// The name of each source under which local copies store positions and cuts name offsets: the logical name of the
    /// topic, with its topic id if the id is known.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.positions.iter().map(String::as_str)
    }

    /// The offset of each source, with the name under which a local copy stores this position.
    pub(crate) fn named(&self, offsets: &[i64]) -> Vec<(String, i64)> {
        let names = self.positions.iter().cloned();
        names.zip(offsets.iter().copied()).collect()
    }

    /// The position that a local copy stores for a source.
    pub(crate) fn position_in(&self, stored: &[(String, i64)], source: SourceIx) -> Option<i64> {
        let wanted = &self.positions[source.index()];
        let found = stored.iter().find(|(name, _)| name == wanted);
        found.map(|(_, offset)| *offset)
    }
}

fn position_name(spec: &Spec, edges: &[EdgeInfo], edge: EdgeIx) -> String {
    let id = spec.topic_ids.get(edge.index());
    input_name(edges[edge.index()].topic, id.map(|id| &**id))
}

/// The name under which a local copy stores its position in a topic. The name contains the topic id, so that no
/// position is found for a topic that was deleted and created again. The name of a topic cannot contain the separator
/// `#`.
pub(crate) fn input_name(topic: &str, id: Option<&str>) -> String {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => format!("{topic}#{id}"),
        None => topic.to_owned(),
    }
}
