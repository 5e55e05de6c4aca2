//! Whether a local copy can be brought up to date from its changelog. Must not know who asks.

use crate::store::Position;

/// The reason why a local copy cannot be brought up to date from its changelog; `None` if it can. All rows of the copy
/// are before the offset `reaches`; `first` and `end` are the log start and end offsets of the changelog.
pub(crate) fn distrust(
    position: &Position,
    reaches: i64,
    (first, end): (i64, i64),
    age_max_ms: Option<i64>,
    now_ms: i64,
) -> Option<String> {
    let at = position.changelog;
    if reaches > end {
        return Some(format!(
            "the local copy is at offset {reaches}, beyond the changelog's end {end}: the topic was recreated or truncated"
        ));
    }
    if reaches > 0 && at < first {
        return Some(format!(
            "the local copy is at offset {at}, before the changelog's start {first}: rows between them are unknown"
        ));
    }
    let age_ms = now_ms - position.at_ms;
    match age_max_ms {
        Some(max) if reaches > 0 && at < end && age_ms > max => Some(format!(
            "the local copy is {} s old, and tombstones are kept for {} s (`delete.retention.ms`): deleted keys could come back",
            age_ms / 1000,
            max / 1000
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_distrusted_beyond_the_ends_and_beyond_the_age() {
        let at = |changelog, at_ms| Position {
            changelog,
            inputs: Vec::new(),
            at_ms,
            ..Position::default()
        };
        assert_eq!(
            distrust(&at(5, 0), 5, (0, 5), Some(10), 100),
            None,
            "nothing to read: nothing missed"
        );
        assert!(distrust(&at(6, 0), 6, (0, 5), None, 0).is_some());
        // Part of a batch was stored, and its rows are beyond the changelog's end.
        assert!(distrust(&at(5, 0), 6, (0, 5), None, 0).is_some());
        assert!(distrust(&at(2, 0), 2, (3, 5), None, 0).is_some());
        assert!(distrust(&at(4, 0), 4, (0, 5), Some(10), 100).is_some());
        assert_eq!(
            distrust(&at(0, 0), 0, (3, 5), Some(10), 100),
            None,
            "an empty copy has nothing to distrust"
        );
        // A copy whose first batch was interrupted has rows, but position 0.
        assert!(distrust(&at(0, 0), 2, (0, 5), Some(10), 100).is_some());
        assert!(distrust(&at(0, 0), 2, (3, 5), None, 0).is_some());
    }
}
