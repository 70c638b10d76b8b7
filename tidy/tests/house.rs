//! The rules, run on the tree.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use starling_tidy::{CRATES, dependencies, is_test_file, names, reach, rust_files, source};

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tidy lies in the house")
        .to_owned()
}

fn files_of(folder: &str) -> Vec<PathBuf> {
    rust_files(&house().join(folder)).expect("every crate is readable")
}

fn every_file() -> impl Iterator<Item = PathBuf> {
    CRATES.into_iter().chain(["tidy"]).flat_map(files_of)
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn crates_know_only_whom_they_may() {
    let found = CRATES.into_iter().flat_map(|folder| {
        let manifest =
            fs::read_to_string(house().join(folder).join("Cargo.toml")).expect("every crate has a manifest");
        dependencies::violations(folder, &manifest).expect("manifests are TOML")
    });
    none(found.collect());
}

#[test]
fn names_say_something() {
    let found = every_file().filter_map(|path| {
        let path = path.strip_prefix(house()).ok()?.to_owned();
        Some(format!(
            "{}: '{}' says nothing about what is in it",
            path.display(),
            names::bag(&path)?
        ))
    });
    none(found.collect());
}

#[test]
fn files_and_functions_stay_short() {
    let mut found = Vec::new();
    for path in every_file().filter(|path| !is_test_file(path)) {
        let text = fs::read_to_string(&path).expect("sources are text");
        let lines = text.lines().count();
        if lines > source::MAX_FILE_LINES {
            found.push(format!(
                "{}: {lines} lines; at most {}",
                path.display(),
                source::MAX_FILE_LINES
            ));
        }
        for (line, length) in source::long_functions(&text) {
            found.push(format!("{}:{line}: a function of {length} lines", path.display()));
        }
    }
    none(found);
}

#[test]
fn nothing_is_put_off() {
    let mut found = Vec::new();
    for path in every_file() {
        let text = fs::read_to_string(&path).expect("sources are text");
        found.extend(
            source::put_off(&text)
                .into_iter()
                .map(|(line, mark)| format!("{}:{line}: {mark}", path.display())),
        );
    }
    none(found);
}

#[test]
fn every_file_is_compiled() {
    let mut found = Vec::new();
    for folder in CRATES.into_iter().chain(["tidy"]) {
        let root = house().join(folder);
        let roots = ["src/lib.rs", "src/main.rs"]
            .into_iter()
            .map(|name| root.join(name))
            .filter(|path| path.is_file());
        let binaries = rust_files(&root.join("src/bin")).unwrap_or_default();
        let reached: BTreeSet<PathBuf> = roots
            .chain(binaries)
            .flat_map(|root| reach::reached(&root).expect("sources are text"))
            .collect();
        let all = rust_files(&root.join("src")).expect("every crate has sources");
        found.extend(
            all.into_iter()
                .filter(|path| !reached.contains(path))
                .map(|path| path.display().to_string()),
        );
    }
    none(found);
}

#[test]
fn the_rules_find_what_they_look_for() {
    let long = format!(
        "impl X {{\n    pub(crate) async fn f() {{\n{}    }}\n}}\n",
        "        x();\n".repeat(120)
    );
    assert_eq!(source::long_functions(&long), [(2, 122)]);
    assert_eq!(source::put_off(concat!("fn f() {\n    to", "do!()\n}")).len(), 1);
    assert_eq!(names::bag(Path::new("node/src/utils/mod.rs")), Some("utils"));
    let manifest = "[dependencies]\nstarling-replication = {}\ntokio = \"1\"\n";
    assert_eq!(dependencies::violations("ring", manifest).expect("TOML").len(), 2);
}
