//! The layout of this repository: its rooms, what each may import, and what is known to be wrong today.

use std::collections::BTreeMap;

use crate::{report, sources, tree::Tree};

/// The crate whose `lib.rs` is in `folder`.
fn tree(name: &str, folder: &str) -> Tree {
    let sources = sources(&["rs"]).into_iter().filter_map(|source| {
        let path = source.path.strip_prefix(folder)?.to_owned();
        Some((path, source.text))
    });
    Tree::of(name, &sources.collect::<BTreeMap<_, _>>())
}

#[test]
fn every_file_of_the_crates_is_compiled() {
    let mut broken = Vec::new();
    for (name, folder) in [("goka", "goka/src/"), ("goka_macros", "goka-macros/src/")] {
        let unreached = tree(name, folder).unreached;
        broken.extend(
            unreached
                .iter()
                .map(|file| format!("{folder}{file} is declared by no `mod`")),
        );
    }
    report(&broken);
}
