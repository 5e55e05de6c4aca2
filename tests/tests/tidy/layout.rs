//! The layout of this repository: its rooms (a room is a set of modules with one purpose), and which rooms each room
//! may import.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    report,
    rooms::{Room, Wrong, circles, through_the_face, wrong_arrows},
    sources,
    tree::{Import, Tree},
};

/// The rooms of `goka/src/`. A room is listed after the rooms that it builds on.
const ROOMS: &[Room] = &[
    // Plain data and errors.
    room("base", &["base/"], &[]),
    room("store", &["store/"], &[&["base"]]),
    // What the engine needs from Kafka.
    room("engine/port", &["engine/port/"], &[&["base"]]),
    // The rows of one partition. Workers and replicas use them.
    room(
        "engine/table",
        &["engine/table/"],
        &[GROUND, &["engine/port"]],
    ),
    // The format of a group's commit. Workers write it, and replicas read it.
    room(
        "engine/cut",
        &["engine/cut.rs"],
        &[&["base", "engine/port"]],
    ),
    // Tables that a process follows, which means that it reads them without writing them.
    room(
        "engine/replica",
        &["engine/replica/"],
        &[GROUND, &["engine/port", "engine/table", "engine/cut"]],
    ),
    // Small files that the rooms of a worker share: what handlers read and do, settings, and setbacks (events that void
    // uncommitted work).
    room("engine", &["engine/"], &[GROUND, TABLES]),
    // The state of a worker's partitions.
    room(
        "engine/partition",
        &["engine/partition/"],
        &[GROUND, TABLES, &["engine"]],
    ),
    // The next three rooms do not know each other.
    room(
        "engine/handling",
        &["engine/handling/"],
        &[GROUND, TABLES, STATE],
    ),
    room(
        "engine/commit",
        &["engine/commit/"],
        &[GROUND, TABLES, STATE],
    ),
    room(
        "engine/recovery",
        &["engine/recovery/"],
        &[GROUND, TABLES, STATE],
    ),
    // What a worker holds, the loop of a worker, and what the rooms of a worker pass to each other.
    room(
        "engine/worker",
        &["engine/core.rs", "engine/worker.rs", "engine/assignment.rs"],
        &[GROUND, &["engine/"]],
    ),
    room("kafka", &["kafka/"], &[&["base", "engine/port"]]),
    room("typed", &["typed/"], &[GROUND, TABLES, &["engine"]]),
    // The rooms above the engine do not know how the engine handles records, commits and recovers.
    room("app", &["app/"], &[GROUND, ENGINE, &["kafka", "typed"]]),
    room(
        "emitter",
        &["emitter.rs", "emitter/"],
        &[GROUND, ENGINE, &["kafka", "typed", "app"]],
    ),
    room(
        "view",
        &["view/"],
        &[GROUND, ENGINE, &["kafka", "typed", "app"]],
    ),
    // Kafka in memory, the simulation, and everything else that only tests and the tester need.
    room("sim", &["sim/"], &[GROUND, ENGINE, ROOF]),
    room("tester", &["tester/"], &[GROUND, ENGINE, ROOF, &["sim"]]),
];
const GROUND: &[&str] = &["base", "store"];
const TABLES: &[&str] = &[
    "engine/port",
    "engine/table",
    "engine/cut",
    "engine/replica",
];
const STATE: &[&str] = &["engine", "engine/partition"];
/// The rooms of the engine that rooms outside the engine may import.
const ENGINE: &[&str] = &[
    "engine",
    "engine/port",
    "engine/table",
    "engine/replica",
    "engine/worker",
];
const ROOF: &[&str] = &["kafka", "typed", "app", "emitter", "view"];

const fn room(
    name: &'static str,
    at: &'static [&'static str],
    may: &'static [&'static [&'static str]],
) -> Room {
    Room { name, at, may }
}

/// The module tree of the crate `name`, whose `lib.rs` is in `folder`.
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

/// Fails the test with one sentence for each violation.
fn none(wrong: Vec<Wrong>) {
    report(&wrong.into_iter().map(|wrong| wrong.why).collect::<Vec<_>>());
}

fn is_empty(room: &Room, imports: &[Import]) -> bool {
    !imports.iter().any(|import| room.has(&import.from))
}

#[test]
fn nobody_inside_imports_through_the_root() {
    none(through_the_face(&GOKA.imports()));
    none(through_the_face(&MACROS.imports()));
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let imports = GOKA.imports();
    for room in ROOMS {
        assert!(
            !is_empty(room, &imports),
            "the room `{}` has no files",
            room.name
        );
    }
    none(wrong_arrows(ROOMS, &imports));
}

#[test]
fn files_import_each_other_in_no_circle() {
    // Traits of the typed surface refer to each other: an edge to its processor, a processor to its context, a context
    // to its edges.
    let of_types = |circle: &[&str]| circle.iter().all(|file| file.starts_with("typed/"));
    none(circles(&GOKA.imports(), of_types));
    none(circles(&MACROS.imports(), |_| false));
}
