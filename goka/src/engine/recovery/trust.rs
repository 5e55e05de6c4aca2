//! Which of two positions is believed, and when a local copy is not.

use crate::{
    engine::{
        port::{Committed, OURS},
        program::EdgeInfo,
        spec::Spec,
    },
    store::Position,
};

/// Which position of an input wins, at-least-once, at the instance with this [`mark`]. If it committed last: the
/// later one, for its local copy may be an interval ahead of the group, and its rows are in. Otherwise the group's:
/// others have gone on from there, or an operator has set it, who means it.
pub(crate) fn which_wins(
    committed: Option<&Committed>,
    local: Option<i64>,
    instance: &str,
) -> Option<i64> {
    match (committed, local) {
        (Some(committed), Some(local)) if committed.metadata == instance => {
            Some(committed.offset.max(local))
        }
        (Some(committed), _) => Some(committed.offset),
        (None, local) => local,
    }
}

/// The same, exactly-once: the group's, for it was committed together with the rows. The local copy
/// is asked where the group has forgotten its own.
pub(crate) fn group_wins(committed: Option<&Committed>, local: Option<i64>) -> Option<i64> {
    committed.map(|committed| committed.offset).or(local)
}

/// By what a position in the topic of an edge is stored: also by the topic's id, so that it is not taken for one in a
/// topic that was made anew. No topic has a `#` in its name.
pub(crate) fn position_name(spec: &Spec, edges: &[EdgeInfo], edge: usize) -> String {
    let topic = edges[edge].topic;
    match spec.topic_ids.get(edge).filter(|id| !id.is_empty()) {
        Some(id) => format!("{topic}#{id}"),
        None => topic.to_owned(),
    }
}

/// Where a local copy stands in the topic of an edge.
pub(crate) fn position_in(
    spec: &Spec,
    edges: &[EdgeInfo],
    position: &Position,
    edge: usize,
) -> Option<i64> {
    let topic = position_name(spec, edges, edge);
    let mut inputs = position.inputs.iter();
    let found = inputs.find(|(name, _)| *name == topic);
    found.map(|(_, offset)| *offset)
}

/// What is stored beside an offset that somebody of a group committed: an instance, or under
/// exactly-once a producer.
pub(crate) fn mark(who: &str) -> String {
    format!("{OURS}{who}")
}

/// Why a local copy cannot be topped up.
pub(crate) fn distrust(
    stands: &Position,
    reaches: i64,
    (first, end): (i64, i64),
    age_max_ms: Option<i64>,
    now_ms: i64,
) -> Option<String> {
    let at = stands.table;
    if reaches > end {
        return Some(format!(
            "it stands at offset {reaches}, the topic ends at {end}: the topic was made anew or cut off"
        ));
    }
    if reaches > 0 && at < first {
        return Some(format!(
            "it stands at offset {at}, the topic begins at {first}: rows between are unknown"
        ));
    }
    let age_ms = now_ms - stands.at_ms;
    match age_max_ms {
        Some(max) if reaches > 0 && at < end && age_ms > max => Some(format!(
            "it is {} s old, and deletions are kept for {} s (`delete.retention.ms`): deleted keys could come back",
            age_ms / 1000,
            max / 1000
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offset: i64, metadata: &str) -> Committed {
        Committed {
            offset,
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn the_later_position_wins_where_it_was_committed_and_else_the_groups() {
        let me = mark("a");
        let wins = |committed: Option<(i64, &str)>, local| {
            let committed = committed.map(|(offset, by)| self::committed(offset, by));
            which_wins(committed.as_ref(), local, &me)
        };
        assert_eq!(wins(Some((5, &me)), Some(7)), Some(7));
        assert_eq!(wins(Some((9, &me)), Some(7)), Some(9));
        assert_eq!(wins(Some((2, "")), Some(7)), Some(2));
        assert_eq!(wins(Some((2, &mark("b"))), Some(7)), Some(2));
        assert_eq!(wins(None, Some(7)), Some(7));
        assert_eq!(wins(Some((3, "")), None), Some(3));
        assert_eq!(wins(None, None), None);
    }

    #[test]
    fn exactly_once_the_groups_position_wins() {
        let ours = mark("group-a-0");
        assert_eq!(group_wins(Some(&committed(5, &ours)), Some(7)), Some(5));
        assert_eq!(group_wins(None, Some(7)), Some(7));
        assert_eq!(group_wins(None, None), None);
    }

    #[test]
    fn a_copy_is_distrusted_beyond_the_ends_and_beyond_the_age() {
        let at = |table, at_ms| Position {
            table,
            inputs: Vec::new(),
            at_ms,
        };
        assert_eq!(
            distrust(&at(5, 0), 5, (0, 5), Some(10), 100),
            None,
            "nothing to read: nothing missed"
        );
        assert!(distrust(&at(6, 0), 6, (0, 5), None, 0).is_some());
        // Some of a batch was stored, that reached beyond what is there now.
        assert!(distrust(&at(5, 0), 6, (0, 5), None, 0).is_some());
        assert!(distrust(&at(2, 0), 2, (3, 5), None, 0).is_some());
        assert!(distrust(&at(4, 0), 4, (0, 5), Some(10), 100).is_some());
        assert_eq!(
            distrust(&at(0, 0), 0, (3, 5), Some(10), 100),
            None,
            "an empty copy has nothing to distrust"
        );
        // One that was cut off in its first batch has rows.
        assert!(distrust(&at(0, 0), 2, (0, 5), Some(10), 100).is_some());
        assert!(distrust(&at(0, 0), 2, (3, 5), None, 0).is_some());
    }
}
