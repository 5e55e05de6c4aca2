//! A cut: the offsets of a partition's inputs and the changelog offset behind the last row that belongs to them, in
//! one commit of the group.
//!
//! Rows at or behind the cut belong to records that are handled again. The metadata of the changelog's offset proves
//! that the offsets were committed together, so that offsets which something else has committed are not taken for a
//! cut: another client of the group, an offset tool, or an older version of goka.
//!
//! The metadata is ASCII text: a name with the version of the format, then `key=value` pairs, each after a space. A
//! reader ignores pairs that it does not know.
//!
//! | pair | meaning |
//! |---|---|
//! | `t=120` | the changelog offset of the cut, which is also the committed offset |
//! | `by=at-least-once` | the guarantee of the commit; `exactly-once` if a transaction contains it |
//! | `clean=1` | the partition was given back with nothing in flight; otherwise `0` |
//! | `at=1764547200000` | wall-clock time of the commit, milliseconds since 1970 |
//! | `in=0006d46bb6a126d3:98,..` | for each input, the hash of its name and id, and its committed offset |
//! | `all=0006d46bb6a126d3` | instead of `in`, if it would not fit: the hash of the text of `in` |
//!
//! Hashes are SipHash-2-4 with a key of zeros, as 16 hexadecimal digits. What is hashed of an input is its logical
//! topic name, `#`, and its topic id; without the `#` if the broker gives no ids. Must not know partitions or rows.

use std::{fmt::Write as _, hash::Hasher as _, sync::Arc};

use siphasher::sip::SipHasher24;

use crate::{base::config::Guarantee, engine::port::Committed};

/// The name and the version with which the metadata begins.
const FORMAT: &str = "goka-cut/1";
/// The longest text of `in`, bytes. Brokers refuse metadata of more than `offset.metadata.max.bytes`, by default 4096.
const INPUTS_MAX: usize = 3800;

/// The changelog's part of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The changelog offset behind the last row that belongs to the committed input offsets.
    pub(crate) changelog: i64,
    pub(crate) guarantee: Guarantee,
    /// Whether the partition was given back with nothing in flight.
    pub(crate) is_clean: bool,
    /// Wall-clock time of the commit, milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// What a group's committed offsets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The offsets were committed together.
    Cut(Cut),
    /// No offset is committed.
    Nothing,
    /// The offsets are no cut, for this reason.
    NotOurs(&'static str),
}

impl Cut {
    /// The metadata to commit beside the changelog's offset. `inputs` are the names of the inputs and the offsets that
    /// are committed for them.
    pub(crate) fn metadata<'a>(&self, inputs: impl Iterator<Item = (&'a str, i64)>) -> Arc<str> {
        let (guarantee, clean) = (name_of(self.guarantee), u8::from(self.is_clean));
        let mut text = format!(
            "{FORMAT} t={} by={guarantee} clean={clean} at={} ",
            self.changelog, self.at_ms
        );
        let listed = list(inputs.map(|(name, offset)| (hash(name), offset)));
        match listed.len() <= INPUTS_MAX {
            true => text.extend(["in=", &listed]),
            false => text.extend(["all=", &hex(hash(&listed))]),
        }
        text.into()
    }

    /// Finds the cut in committed offsets: the changelog's, and those of the inputs, by name. Every input that the
    /// metadata names must have the offset that it says, unless `inputs` lacks this input.
    pub(crate) fn find<'a>(
        changelog: Option<&Committed>,
        inputs: impl Iterator<Item = (&'a str, Option<i64>)>,
    ) -> Found {
        let inputs: Vec<_> = inputs.map(|(name, offset)| (hash(name), offset)).collect();
        let Some(changelog) = changelog else {
            return match inputs.iter().any(|(_, offset)| offset.is_some()) {
                true => Found::NotOurs("the offset of the changelog is not committed"),
                false => Found::Nothing,
            };
        };
        let Some((cut, proof)) = parse(&changelog.metadata) else {
            return Found::NotOurs("the metadata of the changelog's offset is not that of a cut");
        };
        if cut.changelog != changelog.offset {
            return Found::NotOurs("the metadata names another offset of the changelog");
        }
        let is_proven = match proof {
            Proof::Inputs(listed) => is_listed(listed, &inputs),
            Proof::All(listed) => {
                let inputs = inputs.iter();
                let committed = inputs.filter_map(|(name, offset)| Some((*name, (*offset)?)));
                hex(hash(&list(committed))) == listed
            }
        };
        match is_proven {
            true => Found::Cut(cut),
            false => Found::NotOurs("offsets of inputs were committed later, or by another client"),
        }
    }
}

impl Cut {
    /// Whether rows behind the cut belong to records that will be handled again. A transaction commits rows and offsets
    /// together, so that rows behind its cut are those of someone else.
    pub(crate) fn is_undone(&self) -> bool {
        self.guarantee == Guarantee::AtLeastOnce
    }

    /// The cut in the metadata of a changelog's offset, without the proof that the inputs' offsets belong to it.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn find_unproven(changelog: Option<&Committed>) -> Found {
        match changelog.and_then(|changelog| parse(&changelog.metadata)) {
            Some((cut, _)) => Found::Cut(cut),
            None => Found::Nothing,
        }
    }
}

/// The part of the metadata that names the inputs.
enum Proof<'a> {
    Inputs(&'a str),
    All(&'a str),
}

fn parse(metadata: &str) -> Option<(Cut, Proof<'_>)> {
    let mut pairs = metadata.split(' ');
    if pairs.next() != Some(FORMAT) {
        return None;
    }
    let (mut changelog, mut guarantee, mut clean, mut at_ms, mut proof) =
        (None, None, None, None, None);
    for pair in pairs {
        match pair.split_once('=')? {
            ("t", value) => changelog = value.parse().ok(),
            ("by", "at-least-once") => guarantee = Some(Guarantee::AtLeastOnce),
            ("by", "exactly-once") => guarantee = Some(Guarantee::ExactlyOnce),
            ("clean", value) => clean = Some(value == "1"),
            ("at", value) => at_ms = value.parse().ok(),
            ("in", value) => proof = Some(Proof::Inputs(value)),
            ("all", value) => proof = Some(Proof::All(value)),
            _ => {}
        }
    }
    let cut = Cut {
        changelog: changelog?,
        guarantee: guarantee?,
        is_clean: clean?,
        at_ms: at_ms?,
    };
    Some((cut, proof?))
}

/// Whether every listed input that `inputs` has is committed at the listed offset, and `inputs` has at least one of
/// them.
fn is_listed(listed: &str, inputs: &[(u64, Option<i64>)]) -> bool {
    let mut is_any = listed.is_empty() && inputs.is_empty();
    for input in listed.split(',').filter(|input| !input.is_empty()) {
        let Some((name, offset)) = input.split_once(':') else {
            return false;
        };
        let (name, offset) = (u64::from_str_radix(name, 16).ok(), offset.parse().ok());
        match inputs.iter().find(|(input, _)| Some(*input) == name) {
            Some((_, committed)) if offset.is_none() || *committed != offset => return false,
            Some(_) => is_any = true,
            None => {}
        }
    }
    is_any
}

/// The text of `in`, in the order of the hashes.
fn list(inputs: impl Iterator<Item = (u64, i64)>) -> String {
    let mut inputs: Vec<_> = inputs.collect();
    inputs.sort_unstable();
    let mut text = String::new();
    for (nth, (name, offset)) in inputs.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name:016x}:{offset}");
    }
    text
}

fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn name_of(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::AtLeastOnce => "at-least-once",
        Guarantee::ExactlyOnce => "exactly-once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fuzz::fuzz;

    const CUT: Cut = Cut {
        changelog: 120,
        guarantee: Guarantee::AtLeastOnce,
        is_clean: true,
        at_ms: 1_764_547_200_000,
    };

    fn committed(metadata: &str) -> Committed {
        Committed {
            offset: 120,
            metadata: metadata.to_owned(),
        }
    }

    fn find(metadata: &str, inputs: &[(&str, Option<i64>)]) -> Found {
        Cut::find(Some(&committed(metadata)), inputs.iter().copied())
    }

    #[test]
    fn the_metadata_is_plain_text() {
        let metadata = CUT.metadata([("clicks#id", 98), ("orders", 7)].into_iter());
        assert_eq!(
            &*metadata,
            "goka-cut/1 t=120 by=at-least-once clean=1 at=1764547200000 \
             in=0006d46bb6a126d3:98,c7ad08cd9eca14f0:7"
        );
    }

    #[test]
    fn a_cut_is_believed_only_if_all_its_offsets_are_committed() {
        let metadata = CUT.metadata([("clicks", 98), ("orders", 7)].into_iter());
        let found = |clicks, orders| find(&metadata, &[("clicks", clicks), ("orders", orders)]);
        assert_eq!(found(Some(98), Some(7)), Found::Cut(CUT));
        for wrong in [
            found(Some(99), Some(7)),
            found(Some(98), Some(6)),
            found(Some(98), None),
            found(None, None),
            find(&metadata, &[("others", Some(98))]),
            find(&metadata, &[]),
        ] {
            assert!(matches!(wrong, Found::NotOurs(_)), "{wrong:?}");
        }
        // The graph has one input less now, and another one more.
        let changed = [("clicks", Some(98)), ("new", None)];
        assert_eq!(find(&metadata, &changed), Found::Cut(CUT));
        let moved = Committed {
            offset: 121,
            metadata: metadata.to_string(),
        };
        let inputs = [("clicks", Some(98)), ("orders", Some(7))];
        assert!(matches!(
            Cut::find(Some(&moved), inputs.into_iter()),
            Found::NotOurs(_)
        ));
    }

    #[test]
    fn offsets_without_a_cut_are_not_ours() {
        assert_eq!(
            Cut::find(None, [("clicks", None)].into_iter()),
            Found::Nothing
        );
        let only_inputs = Cut::find(None, [("clicks", Some(5))].into_iter());
        assert!(matches!(only_inputs, Found::NotOurs(_)));
        for metadata in ["", "goka worker-1", "goka-cut/2 t=120", "goka-cut/1 t=120"] {
            let found = find(metadata, &[("clicks", Some(5))]);
            assert!(matches!(found, Found::NotOurs(_)), "{metadata}");
        }
    }

    #[test]
    fn very_many_inputs_are_hashed_together() {
        let names: Vec<String> = (0..300).map(|n| format!("input-{n}")).collect();
        let inputs = || names.iter().map(|name| (&**name, 1_000_000));
        let metadata = CUT.metadata(inputs());
        assert!(metadata.len() < 4096, "{}", metadata.len());
        let all: Vec<_> = inputs().map(|(name, at)| (name, Some(at))).collect();
        assert_eq!(find(&metadata, &all), Found::Cut(CUT));
        let mut moved = all;
        moved[17].1 = Some(1_000_001);
        assert!(matches!(find(&metadata, &moved), Found::NotOurs(_)));
    }

    #[test]
    fn pairs_of_later_versions_are_ignored() {
        let metadata = CUT.metadata([("clicks", 98)].into_iter());
        let later = format!("{metadata} event=1764547100000 ticks=3");
        assert_eq!(find(&later, &[("clicks", Some(98))]), Found::Cut(CUT));
    }

    #[test]
    fn metadata_is_fuzzed() {
        let valid = CUT.metadata([("clicks", 98)].into_iter());
        fuzz(
            "the metadata of a cut",
            &[valid.as_bytes().to_vec()],
            4096,
            |bytes| {
                let _ = parse(&String::from_utf8_lossy(bytes));
            },
        );
    }
}
