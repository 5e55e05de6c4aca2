//! Checks that all code in the guide and the README, and all programs that they name, exist in the repository.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code blocks of a language in `text`, each with the text before it.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(&'a str, &'a str)> {
    let begin = format!("\n```{language}\n");
    let starts = text.match_indices(&begin);
    let blocks = starts.map(|(at, _)| {
        let code = &text[at + begin.len()..];
        let end = code
            .find("```\n")
            .expect("each code block must have an end");
        (&text[..at], &code[..end])
    });
    blocks.collect()
}

#[test]
fn code_of_the_guide_stands_in_the_file_that_is_named_last() {
    let (guide, testing) = (read("docs/guide.md"), read("docs/testing.md"));
    let mut shown = blocks(&guide, "rust");
    assert!(shown.len() > 5, "the guide shows code");
    shown.extend(blocks(&testing, "rust"));
    for (before, code) in shown {
        let paths = before.split('`').skip(1).step_by(2);
        let files = paths.filter(|path| path.starts_with("examples/") && path.ends_with(".rs"));
        let file = files
            .last()
            .expect("the text before the code must name a file");
        assert!(
            read(file).contains(code),
            "{file} does not contain:\n{code}"
        );
    }
}

#[test]
fn commands_name_examples_that_exist() {
    for text in ["docs/guide.md", "docs/testing.md", "README.md"].map(read) {
        let mut named = 0;
        for (_, commands) in blocks(&text, "sh") {
            for rest in commands.split("--example ").skip(1) {
                let name: String = rest.split_whitespace().take(1).collect();
                let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/examples");
                let is_there = example.join(format!("{name}.rs")).exists()
                    || example.join(&name).join("main.rs").exists();
                assert!(is_there, "the repository has no example `{name}`");
                named += 1;
            }
        }
        assert!(named > 0, "the guide must show commands");
    }
}

#[test]
fn the_readme_names_what_its_program_depends_on() {
    let readme = read("README.md");
    let programs = blocks(&readme, "rust");
    let (_, program) = programs.first().expect("the README shows a program");
    let manifests = blocks(&readme, "toml");
    let (_, manifest) = manifests
        .first()
        .expect("the README shows the dependencies");
    for name in ["goka", "tokio", "tracing-subscriber"] {
        let is_named = manifest.contains(&format!("\n{name} = {{ "));
        let is_used = program.contains(&format!("{}::", name.replace('-', "_")));
        assert!(
            is_named && is_used,
            "`{name}` must be in the manifest and in the program"
        );
    }
    // Without this feature, the subscriber ignores `RUST_LOG`.
    assert!(manifest.contains("\"env-filter\""));
}
