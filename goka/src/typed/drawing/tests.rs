//! Tests the exact text of graphs, because programs that read graphs depend on it.

use super::*;
use crate::typed::context::Context;

#[goka::stream("user-clicks", value = String)]
struct Clicked;
#[goka::table(group = "click-count", value = i64)]
struct ClickCount;
#[goka::table(group = "prices", key = u64, value = f64, codec = Json, partitioner = fnv1a)]
struct Prices;
#[goka::table(value = u64)]
struct Points;
/// The table of one group, read as a stream by another group.
#[goka::stream("click-count-state", value = i64)]
struct CountChanges;

#[goka::processor(group = "changes", input = CountChanges)]
fn changes(_ctx: &mut changes::Context) {}

#[goka::processor(group = "click-count", input = Clicked, table = ClickCount)]
fn count(_ctx: &mut count::Context) {}

struct Rewards;

#[goka::processor(group = "rewards", table = Points, join(ClickCount), lookup(Prices), output = Clicked)]
impl Rewards {
    #[input("user-logins")]
    async fn login(&self, _ctx: &mut Context<'_, Self>, _at: u64) {}
    #[loopback]
    fn rewarded(&self, _ctx: &mut Context<'_, Self>, _points: Vec<u8>) {}
}

fn all() -> Graph {
    let app = crate::app::App::new(crate::base::config::Config::new());
    let app = app
        .processor(changes::Processor)
        .processor(count::Processor);
    app.processor(Rewards).graph().clone()
}

#[test]
fn mermaid_of_every_kind_of_edge() {
    let expected = r#"flowchart LR
    g0["changes"]
    g1["click-count"]
    g2["rewards"]
    t0[("click-count-state")]
    t1[("prices-state")]
    t2(["rewards-loop"])
    t3[("rewards-state")]
    t4(["user-clicks"])
    t5(["user-logins"])
    t0 -->|input| g0
    t4 -->|input| g1
    g1 <-->|table| t0
    t5 -->|input, async| g2
    g2 <-->|loop| t2
    g2 <-->|table| t3
    t0 -->|join| g2
    t1 -.->|lookup| g2
    g2 -->|output| t4
"#;
    assert_eq!(all().to_mermaid(), expected);
}

#[test]
fn json_of_a_group() {
    let expected = r#"{
  "groups": [
    "click-count"
  ],
  "topics": [
    {
      "name": "click-count-state",
      "kind": "table",
      "group": "click-count"
    },
    {
      "name": "user-clicks",
      "kind": "stream"
    }
  ],
  "edges": [
    {
      "group": "click-count",
      "kind": "input",
      "topic": "user-clicks",
      "partitioner": "murmur2",
      "codec": "text",
      "handler": "count",
      "waits": false
    },
    {
      "group": "click-count",
      "kind": "table",
      "topic": "click-count-state",
      "partitioner": "murmur2",
      "codec": "text",
      "waits": false
    }
  ]
}"#;
    assert_eq!(Graph::of::<count::Processor>().to_json(), expected);
}

#[test]
fn groups_meet_in_topics() {
    let graph = all();
    let counts: Vec<_> = graph
        .topics
        .iter()
        .filter(|topic| topic.name == "click-count-state")
        .collect();
    let [counts] = counts[..] else {
        panic!("input, table and join must be one topic: {graph:?}");
    };
    assert_eq!(
        counts.kind,
        TopicKind::Table,
        "the topic must be a table, although its first edge is an input"
    );
    assert_eq!(counts.group, Some("click-count"));
    let json: serde_json::Value = serde_json::from_str(&graph.to_json()).expect("JSON");
    let kinds = json["edges"].as_array().expect("edges").iter();
    let kinds: Vec<_> = kinds.filter_map(|edge| edge["kind"].as_str()).collect();
    let expected = [
        "input", "input", "table", "input", "loop", "table", "join", "lookup", "output",
    ];
    assert_eq!(kinds, expected);
    let prices = graph.edges.iter().find(|edge| edge.kind == Kind::Lookup);
    let prices = prices.expect("the graph has a lookup");
    assert_eq!(
        (prices.codec, prices.partitioner),
        ("json", Partitioner::Fnv1a)
    );
}

#[test]
fn a_graph_by_hand_is_drawn_as_far_as_it_goes() {
    let mut graph = Graph::of::<count::Processor>();
    graph.topics.clear();
    assert_eq!(
        graph.to_mermaid(),
        "flowchart LR\n    g0[\"click-count\"]\n"
    );
}
