//! Tests what users see when they make a mistake. Each `{construct}/fail/{verb-noun}.rs` makes one mistake, which the
//! file is named after, and the `.stderr` next to it is the output of rustc. Each `{construct}/pass/*.rs` compiles and
//! runs.
//!
//! After a change of a diagnostic, run `TRYBUILD=overwrite cargo test -p goka-ui-tests`, and read every changed
//! `.stderr` as a user would.

use std::{env, fs, path::PathBuf, process::Command};

/// The cases that have several errors: the name of the case, the number of errors, and the reason. Every other case
/// has one error.
const MORE_THAN_ONE: [(&str, usize, &str); 12] = [
    (
        "handler/fail/leave-half-typed",
        2,
        "rustc continues with what it can read, so that editors complete what is being typed",
    ),
    (
        "impl/fail/make-several-mistakes",
        4,
        "four mistakes, all reported together",
    ),
    (
        "impl/fail/share-state",
        2,
        "rustc asks for `Sync` at the processor and at each of its edges",
    ),
    (
        "message/fail/omit-message-of-field",
        4,
        "serde's derives ask at each use of the field",
    ),
    (
        "processor/fail/invent-key",
        6,
        "rustc asks wherever the key's borrowed form is named: all say the same",
    ),
    (
        "processor/fail/mistake-input",
        2,
        "what is not a stream carries no message either; the first error says so",
    ),
    (
        "processor/fail/name-table",
        2,
        "the first says it; a handler that uses the table has none, since its type is not known",
    ),
    (
        "processor/fail/reuse-name",
        4,
        "the first says it; the others are the names that the user's module lacks",
    ),
    (
        "stream/fail/derive-above",
        2,
        "rustc has taken a derive above the attribute away before the attribute sees the item",
    ),
    (
        "stream/fail/omit-message-of-field",
        4,
        "serde's derives ask at each use of the field",
    ),
    (
        "tester/fail/emit-what-is-no-stream",
        2,
        "what is not a topic is not a stream either; the first error says so",
    ),
    (
        "visitor/fail/use-missing-table",
        2,
        "one at the attribute, and one at each use of the table, as without a visitor",
    ),
];

#[test]
fn cases() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("*/fail/*.rs");
    cases.pass("*/pass/*.rs");
}

#[test]
fn one_mistake_is_one_error() {
    for case in failing() {
        let name = name(&case);
        let stderr = fs::read_to_string(case.with_extension("stderr"));
        let stderr = stderr.unwrap_or_else(|_| panic!("{name} has no `.stderr`"));
        let begins = |line: &&str| line.starts_with("error") || line.starts_with("warning");
        let found = stderr.lines().filter(begins).count();
        let listed = MORE_THAN_ONE.iter().find(|(listed, ..)| *listed == name);
        let expected = listed.map_or(1, |(_, count, _)| *count);
        assert_eq!(found, expected, "errors in {name}:\n{stderr}");
    }
}

#[test]
fn cases_are_short() {
    for case in failing() {
        let text = fs::read_to_string(&case).expect("a case can be read");
        let lines = text.lines().count();
        assert!(lines <= 12, "{} has {lines} lines", name(&case));
    }
}

#[test]
fn no_stderr_names_a_machine_or_lacks_its_case() {
    let mut found = 0;
    for (path, text) in files("stderr") {
        found += 1;
        assert!(path.with_extension("rs").exists(), "{}", path.display());
        // trybuild replaces paths that differ between machines by `$WORKSPACE`, `$RUST` and `$CARGO`.
        for absolute in ["--> /", "::: /", "@/"] {
            assert!(!text.contains(absolute), "{absolute} in {}", path.display());
        }
    }
    assert!(found > 10, "{found} cases");
}

/// The case `crate/fail/use-tester-without-feature` shows that the code of the tester is absent as well.
#[test]
fn the_tester_brings_no_dependency_to_those_who_do_not_ask_for_it() {
    let features_of_tokio = |goka: &str| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["tree", "--offline", "--package", "goka", "--features", goka]);
        cargo.args([
            "--edges", "normal", "--prefix", "none", "--format", "{p} {f}",
        ]);
        let output = cargo.current_dir(root()).output().expect("cargo runs");
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        let tokio = tree.lines().find(|line| line.starts_with("tokio "));
        let problem = || panic!("{}", String::from_utf8_lossy(&output.stderr));
        tokio.unwrap_or_else(problem).to_owned()
    };
    assert!(features_of_tokio("tester").contains("test-util"));
    assert!(!features_of_tokio("").contains("test-util"));
}

/// The name of a case, for example `processor/fail/omit-group`.
fn name(case: &std::path::Path) -> String {
    let relative = case.strip_prefix(root()).expect("a case of this package");
    let name = relative.with_extension("");
    name.to_string_lossy().replace('\\', "/")
}

fn failing() -> impl Iterator<Item = PathBuf> {
    let cases = files("rs").map(|(path, _)| path);
    cases.filter(|path| path.parent().is_some_and(|parent| parent.ends_with("fail")))
}

fn files(extension: &'static str) -> impl Iterator<Item = (PathBuf, String)> {
    let constructs = fs::read_dir(root()).expect("the package can be read");
    let mut paths: Vec<_> = constructs
        .flat_map(|construct| {
            ["fail", "pass"].map(|kind| construct.as_ref().expect("an entry").path().join(kind))
        })
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .map(|case| case.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a case is text");
        (path, text)
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
