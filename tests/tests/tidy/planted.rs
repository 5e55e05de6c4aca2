//! Tests of the layering rules. Each test checks a crate of a few lines with one planted violation, which has to be
//! found.

use std::collections::BTreeMap;

use crate::{
    rooms::{Room, Wrong, circles, through_the_face, wrong_arrows},
    tree::{Import, Tree},
};

const ROOMS: &[Room] = &[
    Room {
        name: "ground",
        at: &["ground/"],
        may: &[],
    },
    Room {
        name: "roof",
        at: &["roof/", "chimney.rs"],
        may: &[&["ground"]],
    },
    Room {
        name: "attic",
        at: &["roof/attic/"],
        may: &[],
    },
];

/// The imports of a crate without violations, after `files` are added to the crate or replace some of its files.
fn imports(files: &[(&str, &str)]) -> Vec<Import> {
    let sound = [
        (
            "lib.rs",
            "extern crate self as house; mod ground; mod roof; pub use ground::stone::Stone; pub use roof::Tile;",
        ),
        (
            "ground/mod.rs",
            "pub(crate) mod stone; pub(crate) mod sand; pub(crate) use sand::Sand;",
        ),
        ("ground/stone.rs", "pub struct Stone;"),
        (
            "ground/sand.rs",
            "pub(crate) struct Sand; pub(crate) fn sift() {}",
        ),
        (
            "roof/mod.rs",
            "use crate::ground::stone::Stone; pub struct Tile(Stone);",
        ),
    ];
    let files = sound.iter().chain(files);
    let files: BTreeMap<String, String> = files
        .map(|(path, text)| (path.to_string(), text.to_string()))
        .collect();
    let tree = Tree::of("house", &files);
    assert_eq!(tree.unreached, [] as [&str; 0]);
    tree.imports()
}

fn pairs(wrong: &[Wrong]) -> Vec<(&str, &str)> {
    wrong
        .iter()
        .map(|each| (each.from.as_str(), each.to.as_str()))
        .collect()
}

fn faces(files: &[(&str, &str)]) -> Vec<Wrong> {
    through_the_face(&imports(files))
}

fn arrows(files: &[(&str, &str)]) -> Vec<Wrong> {
    wrong_arrows(ROOMS, &imports(files))
}

fn all_circles(files: &[(&str, &str)]) -> Vec<Wrong> {
    circles(&imports(files), |_| false)
}

/// Asserts that `ground/stone.rs` with the text `stone` breaks one rule: in line `line`, it imports `written`, which is
/// defined in `roof/mod.rs`.
#[track_caller]
fn assert_upward(stone: &str, line: usize, written: &str) {
    let wrong = arrows(&[("ground/stone.rs", stone)]);
    let said = format!(
        "ground/stone.rs:{line} imports `{written}` of roof/mod.rs: `ground` may not import `roof`"
    );
    let said_of: Vec<&str> = wrong.iter().map(|each| each.why.as_str()).collect();
    assert_eq!(said_of, [said]);
}

#[test]
fn a_sound_crate_has_no_fault() {
    assert_eq!(faces(&[]), []);
    assert_eq!(arrows(&[]), []);
    assert_eq!(all_circles(&[]), []);
}

#[test]
fn an_import_through_a_module_that_lib_rs_holds_is_found() {
    let root = "mod ground; mod roof; pub mod surface { pub use crate::ground::stone::Stone; }";
    let roof = "use crate::surface::Stone; pub struct Tile(Stone);";
    let wrong = faces(&[("lib.rs", root), ("roof/mod.rs", roof)]);
    assert_eq!(pairs(&wrong), [("roof/mod.rs", "ground/stone.rs")]);
}

#[test]
fn an_import_through_the_face_is_found() {
    for text in [
        "use crate::Stone; pub struct Tile(Stone);",
        "use super::Stone; pub struct Tile(Stone);",
        "use crate::{ground, Stone as Rock}; pub struct Tile(Rock);",
        "pub struct Tile(crate::Stone);",
        "use house::Stone; pub struct Tile(Stone);",
        "pub struct Tile; fn show() { let _ = format!(\"{}\", crate::Stone); }",
        "pub struct Tile; #[cfg(test)] mod tests { use crate::Stone; }",
    ] {
        let wrong = faces(&[("roof/mod.rs", text)]);
        assert_eq!(
            pairs(&wrong),
            [("roof/mod.rs", "ground/stone.rs")],
            "{text}"
        );
        assert!(
            wrong[0]
                .why
                .contains("Name the module that defines the item")
        );
    }
}

#[test]
fn a_test_that_declares_a_processor_writes_the_crates_name() {
    let text = "pub struct Tile; #[cfg(test)] mod tests { #[house::Stone] struct Wall; }";
    assert_eq!(faces(&[("roof/mod.rs", text)]), []);
}

#[test]
fn a_wrong_arrow_is_found() {
    assert_upward(
        "use crate::roof::Tile; pub struct Stone(Tile);",
        1,
        "crate::roof::Tile",
    );
    assert_upward(
        "pub struct Stone(super::super::roof::Tile);",
        1,
        "super::super::roof::Tile",
    );
    // Imports are found in the arguments of a macro, through a module that is imported as a whole, and through `*`.
    assert_upward(
        "use crate::roof;\npub struct Stone;\nfn a() { b!(c, roof::Tile::new().d) }",
        3,
        "roof::Tile::new",
    );
    assert_upward("use crate::roof::*;\npub struct Stone(Tile);", 2, "Tile");
    // A re-export counts as an import of the room that contains the re-export.
    assert_upward(
        "pub use crate::roof::Tile; pub struct Stone;",
        1,
        "crate::roof::Tile",
    );
}

#[test]
fn an_import_that_is_broken_over_lines_is_found() {
    let text = "use crate::{\n    ground::{\n        self,\n        sand::Sand,\n    },\n    roof::{\n        Tile,\n    },\n};\npub struct Stone;";
    assert_upward(text, 7, "crate::roof::Tile");
}

#[test]
fn a_name_that_is_re_exported_under_another_one_leads_to_its_file() {
    let wrong = arrows(&[
        (
            "ground/stone.rs",
            "use super::Slate; pub struct Stone(Slate);",
        ),
        (
            "ground/mod.rs",
            "pub(crate) mod stone; pub(crate) mod sand; pub(crate) use crate::roof::Tile as Slate;",
        ),
    ]);
    let found = [
        ("ground/mod.rs", "roof/mod.rs"),
        ("ground/stone.rs", "roof/mod.rs"),
    ];
    assert_eq!(pairs(&wrong), found);
}

#[test]
fn of_two_rooms_the_inner_one_counts() {
    let attic = |text| {
        arrows(&[
            ("roof/mod.rs", "mod attic; pub struct Tile;"),
            ("roof/attic/mod.rs", text),
        ])
    };
    assert_eq!(attic("struct Box;"), []);
    let wrong = attic("use crate::roof::Tile; struct Box(Tile);");
    assert_eq!(pairs(&wrong), [("roof/attic/mod.rs", "roof/mod.rs")]);
    assert!(wrong[0].why.ends_with("`attic` may not import `roof`"));
}

#[test]
fn a_file_without_a_room_is_found() {
    let wrong = arrows(&[
        (
            "roof/mod.rs",
            "use crate::cellar::Wine; pub struct Tile(Wine);",
        ),
        ("lib.rs", "mod ground; mod roof; mod cellar;"),
        ("cellar.rs", "pub struct Wine;"),
    ]);
    assert!(
        wrong[0].why.ends_with("cellar.rs belongs to no room"),
        "{wrong:?}"
    );
}

#[test]
fn a_circle_of_files_is_found() {
    let files = [
        (
            "ground/mod.rs",
            "pub(crate) mod stone; pub(crate) mod sand; mod clay; pub(crate) use sand::Sand;",
        ),
        // The imports of the circle: through a re-export, in the body of a function, and in a third file.
        (
            "ground/stone.rs",
            "use super::Sand; pub struct Stone(Sand);",
        ),
        (
            "ground/sand.rs",
            "pub(crate) struct Sand; fn dig() { super::clay::dig(); }",
        ),
        (
            "ground/clay.rs",
            "use crate::ground::stone::{self}; fn dig() -> stone::Stone {}",
        ),
    ];
    let wrong = all_circles(&files);
    let found = [
        ("ground/clay.rs", "ground/stone.rs"),
        ("ground/sand.rs", "ground/clay.rs"),
        ("ground/stone.rs", "ground/sand.rs"),
    ];
    assert_eq!(pairs(&wrong), found);
    assert!(wrong[0].why.ends_with(
        "3 files import each other in a circle: ground/clay.rs, ground/sand.rs, ground/stone.rs"
    ));
    let in_one_room = |circle: &[&str]| circle.iter().all(|file| file.starts_with("ground/"));
    assert_eq!(circles(&imports(&files), in_one_room), []);
}

#[test]
fn what_tests_import_is_neither_an_arrow_nor_part_of_a_circle() {
    let files = [
        (
            "ground/mod.rs",
            "pub(crate) mod stone; pub(crate) mod sand; #[cfg(all(test, unix))] mod tests;",
        ),
        ("ground/tests.rs", "use crate::roof::Tile;"),
        (
            "ground/stone.rs",
            "pub struct Stone { #[cfg(test)] tile: crate::roof::Tile }
             impl Stone { #[cfg(test)] fn tile(&self) -> crate::roof::Tile {} }
             #[cfg(test)] mod tests { use crate::roof; fn tile() -> roof::Tile {} }",
        ),
    ];
    assert_eq!(arrows(&files), []);
    assert_eq!(all_circles(&files), []);
    // Code that a feature turns on is shipped, so its imports count.
    let shipped = "#[cfg(any(test, feature = \"kit\"))] use crate::roof::Tile; pub struct Stone;";
    assert_eq!(arrows(&[("ground/stone.rs", shipped)]).len(), 1);
}

#[test]
fn names_of_other_crates_and_of_the_language_are_no_imports() {
    let text = "use std::{fmt, sync::{Arc as Shared}}; use ::rand::random;
        pub struct Stone<T>(Shared<T>, ::roof::Tile);
        impl<T> fmt::Debug for Stone<T> { fn f(&self) { self.roof(); a!(b.roof::<T>()); Self::roof() } }";
    assert_eq!(arrows(&[("ground/stone.rs", text)]), []);
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let files = [("lib.rs", "mod a;"), ("a.rs", ""), ("b.rs", "")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(Tree::of("house", &files.into()).unreached, ["b.rs"]);
}
