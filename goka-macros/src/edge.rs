//! The kinds of edges that the arguments of `#[processor]` declare; their topics are types. Each kind is one row,
//! which the parser of arguments, the printer and the fallback read. Must not know how an edge is parsed or printed.
//!
//! Inputs and loopbacks are not here: they belong to methods, and their kinds are rows of `method.rs`.

use syn::Path;

/// One kind of edge.
pub(crate) struct EdgeKind {
    /// The name of the argument of the attribute, and of the constructor of `goka::graph::Edge`.
    pub(crate) keyword: &'static str,
    /// The trait of goka that the processor implements for each topic.
    pub(crate) marker: &'static str,
    /// The supertrait of `marker`, which says whether a type fits the edge.
    pub(crate) fits: &'static str,
    /// The word in the printed names of topics of this kind, between `__` and a number.
    pub(crate) alias: &'static str,
    /// The attribute that declares topics of this kind.
    pub(crate) declared_with: &'static str,
    /// Why a processor has at most one edge of this kind; `None` if it may have several.
    pub(crate) only_one: Option<&'static str>,
    /// Words that people write by mistake instead of `keyword`.
    pub(crate) mistaken: &'static [&'static str],
}

const STREAM: &str = "`#[goka::stream(\"topic\")]`";
const TABLE: &str = "`#[goka::table(group = \"...\")]`";

/// All kinds, in the order in which their edges are printed.
pub(crate) static EDGES: [EdgeKind; 4] = [
    EdgeKind {
        keyword: "table",
        marker: "Persists",
        fits: "Persistable",
        alias: "Table",
        declared_with: TABLE,
        only_one: Some(
            "a group has one table; to keep several values for each key, make the value of the table a struct",
        ),
        mistaken: &["state", "persist", "tables"],
    },
    EdgeKind {
        keyword: "join",
        marker: "Joins",
        fits: "Joinable",
        alias: "Join",
        declared_with: TABLE,
        only_one: None,
        mistaken: &["joins"],
    },
    EdgeKind {
        keyword: "lookup",
        marker: "Lookups",
        fits: "Lookupable",
        alias: "Lookup",
        declared_with: TABLE,
        only_one: None,
        mistaken: &["lookups"],
    },
    EdgeKind {
        keyword: "output",
        marker: "Emits",
        fits: "Emittable",
        alias: "Output",
        declared_with: STREAM,
        only_one: None,
        mistaken: &["outputs", "emit", "emits"],
    },
];

/// Returns the kind of edge that the argument `keyword` declares.
pub(crate) fn kind(keyword: &str) -> Option<&'static EdgeKind> {
    EDGES.iter().find(|kind| kind.keyword == keyword)
}

/// Returns the keyword that the user probably meant by `word`, which is no keyword.
pub(crate) fn meant(word: &str) -> Option<&'static str> {
    let kind = EDGES.iter().find(|kind| kind.mistaken.contains(&word));
    kind.map(|kind| kind.keyword)
}

/// An edge that a processor declares.
pub(crate) struct Edge {
    pub(crate) kind: &'static EdgeKind,
    /// The index of the edge within its kind, from 0.
    pub(crate) number: usize,
    /// The topic's type.
    pub(crate) path: Path,
}

/// Sorts edges into the order in which they are printed: by kind, and within a kind in the order of the attribute.
pub(crate) fn sort(edges: &mut [Edge]) {
    let place = |edge: &Edge| {
        EDGES
            .iter()
            .position(|kind| kind.keyword == edge.kind.keyword)
    };
    edges.sort_by_key(place);
}
