//! The layout of this repository: its rooms, what each may import, and the violations that are known today.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    report,
    rooms::{Room, beyond_known, through_the_face},
    sources,
    tree::Tree,
};

/// The rooms of `goka/src/`.
const ROOMS: &[Room] = &[
    // Plain data and errors.
    room("base", &["base/"], &[]),
    room("store", &["store/"], &["base"]),
    // What the engine needs of Kafka.
    room("engine/port", &["engine/port/"], &["base"]),
    // Rows of one partition, for a worker and for a replica.
    room(
        "engine/table",
        &["engine/table/"],
        &["base", "store", "engine/port"],
    ),
    // Tables that are followed.
    room("engine/replica", &["engine/replica/"], TABLE),
    // Small files that the rooms of a worker share: what handlers read and do, settings, setbacks.
    room("engine", &["engine/"], FOLLOWED),
    room("engine/partition", &["engine/partition/"], SHARED),
    // These three do not know each other.
    room("engine/handling", &["engine/handling/"], PARTITION),
    room("engine/commit", &["engine/commit/"], PARTITION),
    room("engine/recovery", &["engine/recovery/"], PARTITION),
    // What a worker holds, its loop, and what the rooms give to each other.
    room(
        "engine/worker",
        &["engine/core.rs", "engine/worker.rs", "engine/assignment.rs"],
        &["base", "store", "engine/"],
    ),
    room("kafka", &["kafka/"], &["base", "engine/port"]),
    room("typed", &["typed/"], &["base", "store", "engine/"]),
    room(
        "app",
        &["app/"],
        &["base", "store", "engine/", "kafka", "typed"],
    ),
    room("emitter", &["emitter.rs", "emitter/"], APP),
    room("view", &["view/"], APP),
    // Kafka in memory, the simulation, and what else only tests and the tester need.
    room(
        "sim",
        &["sim/"],
        &[
            "base", "store", "engine/", "kafka", "typed", "app", "emitter", "view",
        ],
    ),
    room(
        "tester",
        &["tester/"],
        &[
            "base", "store", "engine/", "kafka", "typed", "app", "emitter", "view", "sim",
        ],
    ),
];
const TABLE: &[&str] = &["base", "store", "engine/port", "engine/table"];
const FOLLOWED: &[&str] = &[
    "base",
    "store",
    "engine/port",
    "engine/table",
    "engine/replica",
];
const SHARED: &[&str] = &[
    "base",
    "store",
    "engine/port",
    "engine/table",
    "engine/replica",
    "engine",
];
const PARTITION: &[&str] = &[
    "base",
    "store",
    "engine/port",
    "engine/table",
    "engine/replica",
    "engine",
    "engine/partition",
];
const APP: &[&str] = &["base", "store", "engine/", "kafka", "typed", "app"];

/// The macro crate is one room.
const ROOMS_OF_MACROS: &[Room] = &[room("goka-macros", &[""], &[])];

const fn room(
    name: &'static str,
    at: &'static [&'static str],
    may: &'static [&'static str],
) -> Room {
    Room { name, at, may }
}

/// Imports of `goka/src/` that break the rules, file by file. The list only shrinks.
const KNOWN: &[(&str, &str)] = &[];

/// Imports of `goka-macros/src/` that close a circle. The list only shrinks.
const KNOWN_OF_MACROS: &[(&str, &str)] = &[];

/// The crate whose `lib.rs` is in `folder`.
fn tree(name: &str, folder: &str) -> Tree {
    let sources = sources(&["rs"]).into_iter().filter_map(|source| {
        let path = source.path.strip_prefix(folder)?.to_owned();
        Some((path, source.text))
    });
    Tree::of(name, &sources.collect::<BTreeMap<_, _>>())
}

static GOKA: LazyLock<Tree> = LazyLock::new(|| tree("goka", "goka/src/"));
static MACROS: LazyLock<Tree> = LazyLock::new(|| tree("goka_macros", "goka-macros/src/"));

#[test]
fn every_file_of_the_crates_is_declared_by_a_module() {
    let unreached = [&GOKA.unreached[..], &MACROS.unreached].concat();
    assert_eq!(unreached, [] as [&str; 0]);
}

#[test]
fn nobody_inside_imports_through_the_root() {
    let imports = [GOKA.imports(), MACROS.imports()].concat();
    let wrong = through_the_face(&imports);
    report(&wrong.into_iter().map(|wrong| wrong.why).collect::<Vec<_>>());
}

#[test]
fn rooms_import_only_what_the_table_allows_and_files_import_each_other_in_no_circle() {
    // Traits of the typed surface name each other: an edge its processor, a processor its context, a context its edges.
    let of_types = |circle: &[&str]| circle.iter().all(|file| file.starts_with("typed/"));
    let imports = GOKA.imports();
    // A room that is empty, or that nobody may enter, would check nothing.
    for room in ROOMS {
        let is_in = |file: &str| room.at.iter().any(|place| file.starts_with(place));
        assert!(
            imports.iter().any(|import| is_in(&import.from)),
            "{} is empty",
            room.name
        );
    }
    report(&beyond_known(KNOWN, ROOMS, &imports, of_types));
    report(&beyond_known(
        KNOWN_OF_MACROS,
        ROOMS_OF_MACROS,
        &MACROS.imports(),
        |_| false,
    ));
}
