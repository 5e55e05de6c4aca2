//! The layering rules. A room (a set of modules of goka with one purpose) imports only the rooms that a table allows,
//! no file of the crate imports through the re-exports of `lib.rs`, and files do not import each other in circles. Must
//! not know the files of the repository: `layout` names them.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::Import;

/// A set of files with one purpose.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// The files of the room, and its folders, which end with `/`. A file belongs to the room with the longest matching
    /// entry.
    pub(crate) at: &'static [&'static str],
    /// The other rooms that files of this room may import. `engine/` stands for `engine` and all rooms inside `engine`.
    pub(crate) may: &'static [&'static [&'static str]],
}

impl Room {
    /// Whether a file is at one of the room's places. Even then, the file may belong to another room, inside this room.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.at.iter().any(|place| is_at(place, file))
    }

    fn may_import(&self, other: &Room) -> bool {
        self.may
            .iter()
            .copied()
            .flatten()
            .any(|may| match may.strip_suffix('/') {
                Some(whole) => other.name == whole || other.name.starts_with(may),
                None => other.name == *may,
            })
    }
}

/// An import that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wrong {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) why: String,
}

impl Wrong {
    fn new(import: &Import, why: impl AsRef<str>) -> Self {
        let Import {
            from,
            line,
            written,
            to,
            ..
        } = import;
        Self {
            from: from.clone(),
            to: to.clone(),
            why: format!(
                "{from}:{line} imports `{written}` of {to}: {}",
                why.as_ref()
            ),
        }
    }
}

/// Finds imports of names through the re-exports of the crate's root. Tests may import through the root if they write
/// the crate's own name, as in `goka::stream`. There are two reasons: the macros print `::goka` into the tests of goka
/// as well, and tests of the macros show what users write.
pub(crate) fn through_the_face(imports: &[Import]) -> Vec<Wrong> {
    let through = imports.iter().filter(|import| {
        let as_a_user = import.is_test && import.by_own_name;
        import.by_face && !as_a_user && import.from != "lib.rs"
    });
    let why =
        "the crate root re-exports this item for users. Name the module that defines the item";
    through.map(|import| Wrong::new(import, why)).collect()
}

/// Finds imports that the table of rooms does not allow, and imports of or by files that belong to no room. Test code
/// may import everything.
pub(crate) fn wrong_arrows(rooms: &[Room], imports: &[Import]) -> Vec<Wrong> {
    let mut wrong = BTreeSet::new();
    for import in imports {
        if import.is_test || import.from == "lib.rs" {
            continue;
        }
        match (room_of(rooms, &import.from), room_of(rooms, &import.to)) {
            (Some(from), Some(to)) if from.name == to.name || from.may_import(to) => {}
            (Some(from), Some(to)) => {
                let why = format!("`{}` may not import `{}`", from.name, to.name);
                wrong.insert(Wrong::new(import, why));
            }
            (from, _) => {
                let homeless = if from.is_none() {
                    &import.from
                } else {
                    &import.to
                };
                wrong.insert(Wrong::new(import, format!("{homeless} belongs to no room")));
            }
        }
    }
    wrong.into_iter().collect()
}

/// Whether a file is `place` itself, or is in the folder `place`.
fn is_at(place: &str, file: &str) -> bool {
    place == file || place.ends_with('/') && file.starts_with(place)
}

fn room_of<'a>(rooms: &'a [Room], file: &str) -> Option<&'a Room> {
    let places = rooms
        .iter()
        .flat_map(|room| room.at.iter().map(move |place| (*place, room)));
    let places = places.filter(|(place, _)| is_at(place, file));
    places
        .max_by_key(|(place, _)| place.len())
        .map(|(_, room)| room)
}

/// Finds imports between files that import each other, directly or through other files. Re-exports do not count,
/// because a file that uses the name imports the file that defines the name. Circles for whose files `is_allowed`
/// returns true are left out.
pub(crate) fn circles(imports: &[Import], is_allowed: impl Fn(&[&str]) -> bool) -> Vec<Wrong> {
    let drawn = |import: &&Import| !import.is_test && !import.passes_on && import.from != "lib.rs";
    let drawn: Vec<&Import> = imports.iter().filter(drawn).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in &drawn {
        edges.entry(&import.from).or_default().insert(&import.to);
    }
    let files = edges.keys().copied();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        files.map(|file| (file, reachable(&edges, file))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let circle_of = |file: &&str| {
        let others = reached[file].iter().copied();
        others.filter(|other| reaches(other, file)).collect()
    };
    let circles: BTreeMap<&str, Vec<&str>> = reached
        .keys()
        .map(|file| (*file, circle_of(file)))
        .collect();
    let mut wrong = BTreeMap::new();
    for import in drawn {
        let (from, to) = (import.from.as_str(), import.to.as_str());
        let circle = &circles[from];
        if circle.contains(&to) && !is_allowed(circle) {
            let why = format!(
                "{} files import each other in a circle: {}",
                circle.len(),
                shown(circle)
            );
            wrong
                .entry((from, to))
                .or_insert_with(|| Wrong::new(import, why));
        }
    }
    wrong.into_values().collect()
}

fn shown(circle: &[&str]) -> String {
    let shown = circle[..circle.len().min(6)].join(", ");
    if circle.len() > 6 {
        format!("{shown}, ...")
    } else {
        shown
    }
}

/// The files that `start` imports, directly or through other files.
fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = edges.get(start).into_iter().flatten().copied().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(edges.get(file).into_iter().flatten());
        }
    }
    found
}
