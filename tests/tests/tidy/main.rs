//! Checks the invariants of ARCHITECTURE.md that can be read off the source tree, and habits that a reviewer should not
//! have to look for. For each violation, a test prints a sentence with the file and the line.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod early;
mod layout;
mod planted;
mod rooms;
mod tree;

const COLUMNS: usize = 120;
const LINES: usize = 800;

struct Source {
    /// The path relative to the root of the repository, with `/` between folders.
    path: String,
    text: String,
    /// Whether the whole file is compiled only for tests.
    is_test: bool,
}

impl Source {
    /// The lines of code with their numbers, which begin at 1. Everything after `//` is cut off.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        lines.enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Like `code`, but only the lines before the module of tests; no line if the whole file is compiled only for
    /// tests.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut tests = self.text.match_indices("#[cfg(test)]\n");
        let inside = tests.find(|(at, attribute)| {
            let next = self.text[at + attribute.len()..].lines().next();
            next.is_some_and(|line| line.ends_with("mod tests {"))
        });
        let end = inside.map_or(self.text.len(), |(at, _)| at);
        let end = if self.is_test { 0 } else { end };
        let lines = self.text[..end].lines().count();
        self.code().take(lines)
    }

    /// The modules that this file declares only for tests. Each is given as the path with which the module's files
    /// begin.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let folder = match self
            .path
            .strip_suffix("/mod.rs")
            .or(self.path.strip_suffix("/lib.rs"))
        {
            Some(folder) => folder,
            None => self.path.trim_end_matches(".rs"),
        };
        let declarations = self.text.split("#[cfg(test)]\n").skip(1);
        let names = declarations.filter_map(|rest| {
            let line = rest.lines().next()?.trim_end_matches(';');
            line.split_once("mod ").map(|(_, name)| name)
        });
        names.map(move |name| format!("{folder}/{name}"))
    }

    fn within(&self, folder: &str) -> bool {
        self.path.starts_with(folder) || self.path == format!("{}.rs", folder.trim_end_matches('/'))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All text files of the repository with these extensions, except for folders of built or fetched files.
fn sources(extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("the directory can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                if !["target", ".git", ".kafka", "state", "wip"].contains(&name) {
                    folders.push(path);
                }
            } else if extensions.contains(&extension.unwrap_or_default()) {
                let relative = path
                    .strip_prefix(root())
                    .expect("the path is below the root");
                found.push(Source {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).expect("source files must be UTF-8"),
                    is_test: false,
                });
            }
        }
    }
    assert!(!found.is_empty(), "the repository is where the tests are");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let mut tests: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    tests.extend(["tests/", "ui-tests/"].map(str::to_owned));
    for source in &mut found {
        let path = source.path.trim_end_matches(".rs");
        source.is_test = tests.iter().any(|test| {
            let rest = path.strip_prefix(test);
            rest.is_some_and(|rest| test.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
        });
    }
    found
}

/// Whether the file is a case for trybuild: a program of a few lines that trybuild compiles.
fn is_ui_case(source: &Source) -> bool {
    source.path.starts_with("ui-tests/") && !source.path.starts_with("ui-tests/src/")
}

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Whether `line` contains `word` as a whole word.
fn names(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

#[test]
fn only_kafka_names_rdkafka_and_only_store_names_heed() {
    let homes = [
        ("rdkafka", "goka/src/kafka/"),
        ("rdkafka_sys", "goka/src/kafka/"),
        ("heed", "goka/src/store/"),
    ];
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        // The tests use rdkafka and LMDB directly, to check goka by independent means.
        if source.path.starts_with("tests/") {
            continue;
        }
        for (number, line) in source.code() {
            for (name, home) in homes {
                if names(line, name) && !source.within(home) {
                    broken.push(format!(
                        "{}:{number} names {name}, but only {home} may name this",
                        source.path
                    ));
                }
            }
        }
    }
    for source in sources(&["toml"]) {
        for (name, allowed) in [
            ("rdkafka", ["goka/", "tests/"]),
            ("heed", ["goka/", "tests/"]),
        ] {
            let depends = source.text.lines().any(|line| line.starts_with(name));
            if depends && !allowed.iter().any(|folder| source.path.starts_with(folder)) {
                broken.push(format!("{} depends on {name}, but must not", source.path));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_engine_knows_bytes_and_edges_never_types() {
    let typed = [
        "codec",
        "serde",
        "Codec",
        "Key",
        "Topic",
        "Stream",
        "Processor",
    ];
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        if !["goka/src/engine/", "goka/src/kafka/", "goka/src/store/"]
            .iter()
            .any(|folder| source.within(folder))
        {
            continue;
        }
        for (number, line) in source.shipped() {
            let uses = line.trim_start().starts_with("use ") || line.contains("crate::");
            for name in typed.iter().filter(|name| uses && names(line, name)) {
                broken.push(format!(
                    "{}:{number} names {name}, but this layer must not know types",
                    source.path
                ));
            }
        }
    }
    report(&broken);
}

/// Whether the line is a row of a table in a doc comment.
fn is_row(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("/// |") || line.starts_with("//! |")
}

#[test]
fn every_file_says_why_it_exists_and_stays_readable() {
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        if is_ui_case(&source) {
            continue;
        }
        if !source.text.starts_with("//!") {
            broken.push(format!(
                "{} does not begin with a //! comment that says why the file exists",
                source.path
            ));
        }
        let lines = source.text.lines().count();
        if lines > LINES {
            broken.push(format!("{} has {lines} lines: split the file", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            // A text for users stays on one line, so that it can be searched for. A row of a table must stay on one
            // line, too.
            let whole = line.contains('"') || line.ends_with('\\') || is_row(line);
            if line.chars().count() > COLUMNS && !whole {
                broken.push(format!(
                    "{}:{} is wider than {COLUMNS} columns",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn what_is_shipped_neither_panics_at_will_nor_is_unfinished() {
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        for (number, line) in source.shipped() {
            for call in [".unwrap()", "todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(call) {
                    broken.push(format!("{}:{number} calls {call}", source.path));
                }
            }
        }
    }
    report(&broken);
}

#[test]
fn tests_wait_for_events_not_for_time() {
    // The names are put together from parts, so that this file does not break the rule that it checks.
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep(")];
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        // In tests of the tester, tokio's time is virtual, so a handler's timer waits for no real time.
        let is_virtual = source.path.starts_with("goka/tests/tester/");
        let sleeps = if is_virtual {
            &sleeps[..1]
        } else {
            &sleeps[..]
        };
        let shipped = match source.path.contains("/tests/") {
            true => 0,
            false => source.shipped().count(),
        };
        for (number, line) in source.code().skip(shipped) {
            for sleep in sleeps.iter().filter(|sleep| line.contains(**sleep)) {
                broken.push(format!(
                    "{}:{number} calls {sleep}: wait for an event instead",
                    source.path
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn nothing_depends_on_one_machine() {
    let places = ["work", "root", "home", "Users"].map(|place| format!("/{place}/"));
    let mut broken = Vec::new();
    for source in sources(&["rs", "toml", "md", "sh", "yml", "xml", "stderr", "snap"]) {
        for (index, line) in source.text.lines().enumerate() {
            for place in places.iter().filter(|place| line.contains(*place)) {
                broken.push(format!(
                    "{}:{} has a path below {place}",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn every_mistake_has_its_text() {
    let mut broken = Vec::new();
    let texts: Vec<String> = sources(&["stderr", "rs"])
        .into_iter()
        .map(|source| source.path)
        .collect();
    for path in &texts {
        let fails =
            path.starts_with("ui-tests/") && path.contains("/fail/") && path.ends_with(".rs");
        let text = path.replace(".rs", ".stderr");
        if fails && !texts.contains(&text) {
            broken.push(format!("{path} has no {text}"));
        }
    }
    report(&broken);
}

#[test]
fn the_readme_shows_a_program_that_compiles() {
    let example = fs::read_to_string(root().join("examples/examples/counter.rs"))
        .expect("the example counter");
    let program = example
        .split_once("\n\n")
        .map_or("", |(_header, program)| program);
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    assert!(
        readme.contains(program),
        "README.md and examples/examples/counter.rs show different programs"
    );
}

/// Finds included files that are not in their package, without building the package. With such a file,
/// `scripts/package.sh` would fail when it runs the tests of the packages.
#[test]
fn a_package_needs_no_file_from_outside() {
    let mut broken = Vec::new();
    for source in sources(&["rs"]) {
        if !["goka/", "goka-macros/"]
            .iter()
            .any(|package| source.path.starts_with(package))
        {
            continue;
        }
        let depth = source.path.matches('/').count() - 1;
        let outside = "../".repeat(depth + 1);
        for (number, line) in source.code() {
            let includes = line.contains("include_str!") || line.contains("include_bytes!");
            if includes && line.contains(&outside) {
                broken.push(format!(
                    "{}:{number} includes a file that is not in its package",
                    source.path
                ));
            }
        }
    }
    report(&broken);
}
